/** An identity service that knows some tokens, over HTTP; one that it does not know is 401. */
import { type Reply, type Service, startService } from './service.ts';

export interface IdentityService extends Service {
  /** What it says of a token. */
  tokens: Map<string, object>;
  /** It does again what it did at first. */
  behave(): void;
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
  const behave = () =>
    service.answer(({ method, path, body }): Reply => {
      if (method !== 'POST' || path !== '/v1/tokens/verify') return { status: 404 };
      const { token } = body as { token: string };
      const known = tokens.get(token);
      return known === undefined ? { status: 401, body: { detail: `not a token: ${token}` } } : { body: known };
    });
  behave();
  return { ...service, tokens, behave };
}
