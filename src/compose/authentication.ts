/** How the doors find out who asks. */
import type { Config } from '../config.ts';
import { createEgress } from '../egress/egress.ts';
import type { Logger } from '../engine/ports.ts';
import { createIdentify, type WhoAsks } from '../http/auth/identify.ts';
import { createKeySet, type KeySet } from '../http/auth/jwks.ts';
import { createJwtVerifier, type JwtVerifier } from '../http/auth/jwt.ts';

const JWKS_TIMEOUT_MS = 5_000;
const MAX_JWKS_BYTES = 256 * 1_024;

export interface Authentication {
  whoAsks: WhoAsks;
  close(): Promise<void>;
}

export function authenticationOf(config: Pick<Config, 'apiKeys' | 'authentication'>, log: Logger): Authentication {
  const { required, jwt, trustedCallers, metricsTokens } = config.authentication;
  const provider = jwt?.jwksUrl === undefined ? undefined : keySetAt(jwt.jwksUrl, log);
  const verify: JwtVerifier | undefined =
    jwt === undefined ? undefined : createJwtVerifier({ ...jwt, keys: provider?.keys, now: () => new Date() });
  return {
    whoAsks: createIdentify({ required, apiKeys: config.apiKeys, jwt: verify, trustedCallers, metricsTokens }),
    close: async () => provider?.close(),
  };
}

/** The configured origin and no other, wherever it redirects. */
function keySetAt(url: string, log: Logger): { keys: KeySet; close(): Promise<void> } {
  const egress = createEgress({
    policy: 'none',
    allow: [],
    ownAddresses: [],
    isTrustedOrigin: () => false,
    maxBytes: MAX_JWKS_BYTES,
    log,
  });
  const fetchKeys = async (): Promise<unknown> => {
    const signal = AbortSignal.timeout(JWKS_TIMEOUT_MS);
    const answer = await egress.fetch(url, { trusted: true, headers: { accept: 'application/json' }, signal });
    if (answer.status !== 200) throw new Error(`the provider answered ${answer.status}`);
    return JSON.parse(await answer.text());
  };
  return {
    keys: createKeySet({ fetchKeys, elapsed: () => performance.now(), log }),
    close: () => egress.close(),
  };
}
