/**
 * Links with which somebody without credentials decides one approval, once. All that a link says is in it, under an HMAC:
 * nobody can change it or make one. That it works once needs no list of links, because an approval is decided once.
 */
import { createHmac, timingSafeEqual } from 'node:crypto';
import { z } from 'zod';

export interface LinkClaim {
  runId: string;
  epoch: number;
  actionId: string;
  verdict: 'approved' | 'rejected';
  /** Who decides with it. */
  for: string;
  expiresAt: Date;
}

export interface ApprovalLinks {
  write(claim: LinkClaim): string;
  /** Undefined: it is not one of ours. */
  read(token: string): LinkClaim | undefined;
}

const MAX_TOKEN_LENGTH = 4_096;
/** What else may be signed with the same secret one day must not be a link. */
const PURPOSE = 'orchestrator approval link, version 1';

const body = z.tuple([
  z.string(),
  z.int(),
  z.string(),
  z.enum(['approved', 'rejected']),
  z.string(),
  z.int().min(0).max(8.64e15),
]);

/** The first secret signs; links that another one has signed are good as well, so that secrets can be changed. */
export function createApprovalLinks(secrets: readonly string[]): ApprovalLinks | undefined {
  const [first] = secrets;
  if (first === undefined) return undefined;
  return {
    write({ runId, epoch, actionId, verdict, for: user, expiresAt }) {
      const claim = JSON.stringify([runId, epoch, actionId, verdict, user, expiresAt.getTime()]);
      const encoded = Buffer.from(claim).toString('base64url');
      return `${encoded}.${macOf(first, encoded).toString('base64url')}`;
    },
    read(token) {
      if (token.length > MAX_TOKEN_LENGTH) return undefined;
      const [encoded = '', mac = '', ...more] = token.split('.');
      const presented = Buffer.from(mac, 'base64url');
      // Two spellings of one MAC would be two links.
      if (more.length > 0 || presented.toString('base64url') !== mac) return undefined;
      const isOurs = secrets.map((secret) => isEqual(presented, macOf(secret, encoded))).includes(true);
      if (!isOurs) return undefined;
      const parsed = body.safeParse(JSON.parse(Buffer.from(encoded, 'base64url').toString('utf8')));
      if (!parsed.success) return undefined;
      const [runId, epoch, actionId, verdict, user, expires] = parsed.data;
      return { runId, epoch, actionId, verdict, for: user, expiresAt: new Date(expires) };
    },
  };
}

function macOf(secret: string, encoded: string): Buffer {
  return createHmac('sha256', secret).update(`${PURPOSE}\n${encoded}`).digest();
}

function isEqual(presented: Buffer, expected: Buffer): boolean {
  return presented.length === expected.length && timingSafeEqual(presented, expected);
}
