/**
 * The line that records outside of the database how far a chain is. Signed, it is of use also where whoever could rewrite the
 * chain can write lines too: without the secret none of them can be made or changed.
 */
import { createHmac, timingSafeEqual } from 'node:crypto';
import type { AuditHead } from '../../engine/ports/audit.ts';

export interface AuditAnchor extends AuditHead {
  /** ISO 8601. */
  at: string;
  /** HMAC-SHA256 in hex, where there is a secret. */
  signature?: string;
}

/** `secrets`: the first one signs. */
export function anchorOf(head: AuditHead, at: string, secrets: readonly string[]): AuditAnchor {
  const { tenant_id, seq, hash } = head;
  const [secret] = secrets;
  const anchor = { tenant_id, seq, hash, at };
  return secret === undefined ? anchor : { ...anchor, signature: signed(anchor, secret).toString('hex') };
}

/** By any of the secrets. */
export function isSigned({ signature, ...anchor }: AuditAnchor, secrets: readonly string[]): boolean {
  const presented = Buffer.from(signature ?? '', 'hex');
  return secrets.some((secret) => {
    const expected = signed(anchor, secret);
    return presented.length === expected.length && timingSafeEqual(presented, expected);
  });
}

function signed({ tenant_id, seq, hash, at }: AuditAnchor, secret: string): Buffer {
  return createHmac('sha256', secret)
    .update(JSON.stringify([tenant_id, seq, hash, at]))
    .digest();
}
