/** The headers of the Standard Webhooks (https://www.standardwebhooks.com): the receiver knows who sent it, and when. */
import { createHmac } from 'node:crypto';

const PREFIX = 'whsec_';

/** One signature for each secret, so that a receiver may still know the one before. */
export function webhookHeaders(
  secrets: readonly string[],
  id: string,
  now: Date,
  body: string,
): Record<string, string> {
  const timestamp = String(Math.floor(now.getTime() / 1000));
  const headers = { 'content-type': 'application/json', 'webhook-id': id, 'webhook-timestamp': timestamp };
  if (secrets.length === 0) return headers;
  const signatures = secrets.map((secret) => {
    return `v1,${createHmac('sha256', webhookKey(secret)).update(`${id}.${timestamp}.${body}`).digest('base64')}`;
  });
  return { ...headers, 'webhook-signature': signatures.join(' ') };
}

/** The secret of the standard is base64 behind its prefix; any other text is taken as it is. */
export function webhookKey(secret: string): Buffer {
  return secret.startsWith(PREFIX) ? Buffer.from(secret.slice(PREFIX.length), 'base64') : Buffer.from(secret);
}

export function makeWebhookSecret(random: (bytes: number) => Buffer): string {
  return PREFIX + random(32).toString('base64');
}
