/** What an identity service says of a token, and of one that it was to issue. Nothing of an answer is quoted. */
import { z } from 'zod';
import type { Role } from '../../domain/access.ts';
import type { ServiceAnswer } from '../../egress/post-json.ts';
import { isIdentity } from '../../http/middleware/context.ts';
import { rolesOf } from './domain.ts';

export interface VerifiedToken {
  userId: string;
  tenantId: string;
  roles: readonly Role[];
  /** `jti`. */
  tokenId: string | undefined;
  /** Undefined: the service says when it is over. */
  expiresAtMs: number | undefined;
}

export type IdentityAnswer =
  | { kind: 'verified'; token: VerifiedToken }
  | { kind: 'refused'; why: string }
  /** It says nothing that could be believed. */
  | { kind: 'unusable'; problem: string };

/** Of other statuses it is unknown whether the token was looked at. */
const REFUSALS: ReadonlySet<number> = new Set([400, 401, 403, 422]);
const MAX_TOKEN_ID_LENGTH = 128;

const words = z.array(z.string());
const verification = z.object({
  valid: z.boolean(),
  user_id: z.unknown().optional(),
  tenant_id: z.unknown().optional(),
  roles: words.nullish(),
  capabilities: words.nullish(),
  expires_at: z.union([z.string(), z.number()]).nullish(),
  jti: z.unknown().optional(),
});

export function readIdentityAnswer({ status, body }: ServiceAnswer, nowMs: number): IdentityAnswer {
  if (REFUSALS.has(status)) return { kind: 'refused', why: `identity_${status}` };
  if (status !== 200) return unusable(`it answered ${status}`);
  const { data } = verification.safeParse(body);
  if (data === undefined) return unusable('it answered something else than the verification of a token');
  if (!data.valid) return { kind: 'refused', why: 'identity_not_valid' };
  const { user_id: userId, tenant_id: tenantId, roles, capabilities, expires_at: end, jti } = data;
  if (!isIdentity(userId)) return unusable('it names no user');
  if (!isIdentity(tenantId)) return unusable('it names no tenant');
  const expiresAtMs = end === undefined || end === null ? undefined : millisecondsOf(end);
  if (Number.isNaN(expiresAtMs)) return unusable('it says when the token is over, and not in a way that can be read');
  if (expiresAtMs !== undefined && expiresAtMs <= nowMs) return { kind: 'refused', why: 'expired' };
  const tokenId = isIdentity(jti) && jti.length <= MAX_TOKEN_ID_LENGTH ? jti : undefined;
  const granted = rolesOf({ roles: roles ?? undefined, capabilities: capabilities ?? [] });
  return { kind: 'verified', token: { userId, tenantId, roles: granted, tokenId, expiresAtMs } };
}

const ISO = /^(\d{4}-\d{2}-\d{2})(?:[T ](\d{2}:\d{2}(?::\d{2}(?:\.\d{1,9})?)?))?\s*(Z|[+-]\d{2}:?\d{2})?$/i;

/** ISO 8601, in UTC where no zone is named; seconds since 1970 as a number. NaN: neither. */
function millisecondsOf(end: string | number): number {
  if (typeof end === 'number') return end * 1_000;
  const [, date = '', time = '00:00', zone = 'Z'] = ISO.exec(end.trim()) ?? [];
  // `Date` takes the 31st of February for the 3rd of March.
  const day = new Date(`${date}T00:00:00Z`);
  if (Number.isNaN(day.getTime()) || !day.toISOString().startsWith(date)) return Number.NaN;
  return Date.parse(`${date}T${time}${zone.toUpperCase().replace(/^([+-]\d{2})(\d{2})$/, '$1:$2')}`);
}

const issue = z.object({
  token: z.string().min(1),
  expires_in: z.number().nonnegative(),
  token_type: z.string().min(1).max(100),
});

/** What is kept of an issued token: not the token. Undefined: none was issued. */
export type IssuedToken = Pick<z.output<typeof issue>, 'expires_in' | 'token_type'>;

export function readIssuedToken(body: unknown): IssuedToken | undefined {
  const { data } = issue.safeParse(body);
  // A service that confuses its fields must not have the token stored.
  if (data === undefined || data.token_type.includes(data.token)) return undefined;
  return { expires_in: data.expires_in, token_type: data.token_type };
}

function unusable(problem: string): IdentityAnswer {
  return { kind: 'unusable', problem };
}
