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

export type SignatureFault = 'incomplete' | 'too_old' | 'too_new' | 'wrong_signature';

const TOLERANCE_SECONDS = 300;
const ID = /^[\x21-\x7e]{1,255}$/;
const MOST_SIGNATURES = 16;
/** Each costs a pass over the body; so many are enough for a sender each, or to change them. */
export const MOST_SECRETS = 16;

/** What is wrong with a message whatever its body and whoever has signed it; undefined: nothing. */
export function faultOf(
  { id, timestamp, signature }: Omit<SignedMessage, 'body'>,
  now: Date,
): SignatureFault | undefined {
  if (id === undefined || timestamp === undefined || signature === undefined) return 'incomplete';
  // A dot in the id could move what belongs to it into the timestamp.
  if (!ID.test(id) || id.includes('.') || !/^\d{1,12}$/.test(timestamp)) return 'incomplete';
  const age = now.getTime() / 1_000 - Number(timestamp);
  if (age > TOLERANCE_SECONDS) return 'too_old';
  return age < -TOLERANCE_SECONDS ? 'too_new' : undefined;
}

/** Whether one of these secrets has signed it: there may be several, so that they can be changed. */
export function verifyWebhook(
  secrets: readonly string[],
  message: SignedMessage,
  now: Date,
): SignatureFault | undefined {
  const fault = faultOf(message, now);
  if (fault !== undefined) return fault;
  const { id = '', timestamp = '', signature = '', body } = message;
  const signatures = signature
    .split(' ')
    .filter((one) => one.startsWith('v1,'))
    .slice(0, MOST_SIGNATURES)
    .map((one) => Buffer.from(one.slice('v1,'.length), 'base64'));
  let holds = false;
  // All of them are compared, in constant time.
  for (const secret of secrets.slice(0, MOST_SECRETS)) {
    const expected = createHmac('sha256', webhookKey(secret)).update(`${id}.${timestamp}.`).update(body).digest();
    for (const one of signatures) if (one.length === expected.length && timingSafeEqual(one, expected)) holds = true;
  }
  return holds ? undefined : 'wrong_signature';
}
