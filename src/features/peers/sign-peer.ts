/**
 * How installations that share a secret know each other. What is signed is the time and the digest of the body as JSON with
 * its keys sorted, so what was checked is what was parsed. Within the window a request may come twice: what it says is a
 * state with its version, which changes nothing the second time.
 */
import { createHmac, timingSafeEqual } from 'node:crypto';
import { requestHash } from '../../engine/accept/request-hash.ts';
import type { Json } from '../../schemas/json.ts';

export const TIMESTAMP_HEADER = 'x-peer-timestamp';
export const SIGNATURE_HEADER = 'x-peer-signature';
const WINDOW_SECONDS = 300;
const SCHEME = 'v1,';

export function peerHeaders(secret: string, now: Date, body: Json): Record<string, string> {
  const timestamp = String(Math.floor(now.getTime() / 1000));
  return { [TIMESTAMP_HEADER]: timestamp, [SIGNATURE_HEADER]: SCHEME + signature(secret, timestamp, body) };
}

/** What is wrong with a request that should be signed with one of these secrets; undefined: nothing. */
export function peerFault(
  secrets: readonly string[],
  presented: { timestamp: string | undefined; signature: string | undefined },
  now: Date,
  body: Json,
): string | undefined {
  const { timestamp = '', signature: signed = '' } = presented;
  if (!/^\d{1,12}$/.test(timestamp) || !signed.startsWith(SCHEME)) return 'The request is not signed by a peer';
  if (Math.abs(now.getTime() / 1000 - Number(timestamp)) > WINDOW_SECONDS) {
    return `The request was signed more than ${WINDOW_SECONDS} s ago, or will be`;
  }
  const bytes = Buffer.from(signed.slice(SCHEME.length), 'base64');
  // Compares every secret, in constant time.
  let isSigned = false;
  for (const secret of secrets) {
    const expected = Buffer.from(signature(secret, timestamp, body), 'base64');
    isSigned = (bytes.length === expected.length && timingSafeEqual(bytes, expected)) || isSigned;
  }
  return isSigned ? undefined : 'The request is signed with another secret';
}

function signature(secret: string, timestamp: string, body: Json): string {
  return createHmac('sha256', secret)
    .update(`${timestamp}.${requestHash(body)}`)
    .digest('base64');
}
