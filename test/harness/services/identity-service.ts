/**
 * An identity service that knows some tokens, over HTTP; one that it does not know is 401. It issues a token for each
 * idempotency key, and gives the same one to whoever comes again with that key.
 */
import { randomUUID } from 'node:crypto';
import { z } from 'zod';
import { type Call, type Reply, type Service, startService } from './service.ts';

const wanted = z.strictObject({
  user_id: z.string().min(1),
  tenant_id: z.string().min(1),
  capabilities: z.array(z.string()),
  mfa_code: z.string().optional(),
});

export interface IdentityService extends Service {
  /** What it says of a token. */
  tokens: Map<string, object>;
  /** The tokens that it has issued, by idempotency key. */
  issued: Map<string, string>;
  /** The calls for a token. */
  wanted(): Call[];
  /** It does again what it did at first. */
  behave(): void;
  /** As it does at first, for tests that count or disturb its calls. */
  reply(call: Call): Reply;
}

export function verified(more: object = {}): { [key: string]: unknown } {
  return {
    ...{ valid: true, user_id: 'anna', tenant_id: 'acme', capabilities: ['editor', 'llm.use'] },
    ...{ issued_at: '2026-01-01T00:00:00Z', expires_at: null, jti: 'token-1' },
    ...more,
  };
}

export async function startIdentityService(): Promise<IdentityService> {
  const service = await startService();
  const tokens = new Map<string, object>();
  const issued = new Map<string, string>();
  const verify = (token: string): Reply => {
    const known = tokens.get(token);
    return known === undefined ? { status: 401, body: { detail: `not a token: ${token}` } } : { body: known };
  };
  const issue = ({ body, idempotencyKey: key }: Call): Reply => {
    const { error } = wanted.safeParse(body);
    if (error !== undefined || key === undefined) return { status: 422, body: { detail: error?.issues ?? 'no key' } };
    const token = issued.get(key) ?? `issued-token-${randomUUID()}`;
    issued.set(key, token);
    return { body: { token, expires_in: 900, token_type: 'bearer' } };
  };
  const reply = (call: Call): Reply => {
    const { method, path, body } = call;
    if (method === 'POST' && path === ISSUE) return issue(call);
    if (method === 'POST' && path === '/v1/tokens/verify') return verify((body as { token: string }).token);
    return { status: 404 };
  };
  service.answer(reply);
  return {
    ...{ ...service, tokens, issued, reply },
    wanted: () => service.calls.filter(({ path }) => path === ISSUE),
    behave: () => service.answer(reply),
  };
}

const ISSUE = '/v1/tokens/issue';
