/** Messages that somebody has signed for us by the Standard Webhooks (https://www.standardwebhooks.com). */
import { createHmac, timingSafeEqual } from 'node:crypto';
import { webhookKey } from './sign-webhook.ts';

export interface SignedMessage {
  id: string | undefined;
  /** Seconds since 1970, as it was sent. */
  timestamp: string | undefined;
  /** `v1,<base64>`, several with spaces between them. */
  signature: string | undefined;
  /** As it came: JSON written anew would be other bytes. */
  body: Uint8Array;
}

export type Verdict = { by: string } | { refused: 'incomplete' | 'too_old' | 'too_new' | 'wrong_signature' };

const TOLERANCE_SECONDS = 300;
const ID = /^[\x21-\x7e]{1,255}$/;
const MOST_SIGNATURES = 16;

/** Which of the holders of secrets has signed it; each may have several, so that they can be changed. */
export function verifyWebhook(
  secrets: ReadonlyMap<string, readonly string[]>,
  { id, timestamp, signature, body }: SignedMessage,
  now: Date,
): Verdict {
  if (id === undefined || timestamp === undefined || signature === undefined) return { refused: 'incomplete' };
  // A dot in the id could move what belongs to it into the timestamp.
  if (!ID.test(id) || id.includes('.') || !/^\d{1,12}$/.test(timestamp)) return { refused: 'incomplete' };
  const age = now.getTime() / 1_000 - Number(timestamp);
  if (age > TOLERANCE_SECONDS) return { refused: 'too_old' };
  if (age < -TOLERANCE_SECONDS) return { refused: 'too_new' };
  const given = signature
    .split(' ')
    .filter((one) => one.startsWith('v1,'))
    .slice(0, MOST_SIGNATURES)
    .map((one) => Buffer.from(one.slice('v1,'.length), 'base64'));
  let by: string | undefined;
  // All of them are looked at, so that the time taken tells nothing.
  for (const [holder, own] of secrets) {
    for (const secret of own) {
      const expected = createHmac('sha256', webhookKey(secret)).update(`${id}.${timestamp}.`).update(body).digest();
      for (const one of given) if (one.length === expected.length && timingSafeEqual(one, expected)) by = holder;
    }
  }
  return by === undefined ? { refused: 'wrong_signature' } : { by };
}
