/**
 * How a key is spelled: a prefix that scanners for leaked secrets recognise, 256 random bits, and a checksum, so that
 * what was mistyped or made up is rejected without a query. Only its SHA-256 is stored: of so many
 * random bits nobody finds the key for a hash, however fast hashes are made.
 */
import { createHash } from 'node:crypto';

const FORM = /^orch_([\w-]{43})([\w-]{6})$/;
const SHOWN = 13;

export function makeApiKey(random: (bytes: number) => Buffer): string {
  const secret = random(32).toString('base64url');
  return `orch_${secret}${checksum(secret)}`;
}

export function isApiKey(text: string): boolean {
  const [, secret, sum] = FORM.exec(text) ?? [];
  return secret !== undefined && sum === checksum(secret);
}

export function hashOfKey(key: string): Buffer {
  return createHash('sha256').update(key).digest();
}

/** What of a key may be shown: enough to tell two apart. */
export function prefixOfKey(key: string): string {
  return key.slice(0, SHOWN);
}

function checksum(secret: string): string {
  return createHash('sha256').update(`orch_${secret}`).digest('base64url').slice(0, 6);
}
