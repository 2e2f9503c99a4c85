/** How the processes authenticate callers. */
import { isLoopback } from '../config/authentication.ts';
import type { Config } from '../config/config.ts';
import { createEgress } from '../egress/egress.ts';
import { within } from '../engine/deliver/time-limit.ts';
import type { Logger } from '../engine/ports/logger.ts';
import type { Credentials } from '../feature.ts';
import { createIdentify, type Identify, type VerifyToken } from '../http/auth/identify.ts';
import { createKeySet, type KeySet } from '../http/auth/jwks.ts';
import { createJwtVerifier, type JwtVerifier } from '../http/auth/jwt.ts';

const JWKS_TIMEOUT_MS = 5_000;
const MAX_JWKS_BYTES = 256 * 1_024;

export interface Authentication {
  identify: Identify;
  close(): Promise<void>;
}

/**
 * Without `credentials` keys that tenants have made are not known, nor sessions: both are for the API. `tokens`: what a
 * feature offers, which is open when the first request comes.
 */
export function authenticationOf(
  config: Pick<Config, 'apiKeys' | 'authentication'>,
  log: Logger,
  { credentials, tokens }: { credentials?: Credentials | undefined; tokens: () => VerifyToken | undefined },
): Authentication {
  const { required, jwt, certificates, trustedCallers, metricsTokens } = config.authentication;
  const provider = jwt?.jwksUrl === undefined ? undefined : keySetAt(jwt.jwksUrl, log);
  const verify: JwtVerifier | undefined =
    jwt === undefined ? undefined : createJwtVerifier({ ...jwt, keys: provider?.keys, now: () => new Date() });
  return {
    identify: createIdentify({
      ...{ required, apiKeys: config.apiKeys, madeKeys: credentials?.madeKeys, jwt: verify },
      tokens: (token) => tokens()?.(token),
      ...{ certificates, trustedCallers, metricsTokens, sessions: credentials?.login?.sessions },
    }),
    async close() {
      await credentials?.close();
      await provider?.close();
    },
  };
}

/** Says at start who is let in, and what of that an operator should know. */
export function announceAuthentication(
  {
    host,
    apiKeys,
    authentication: { required, jwt, oidc, certificates },
    identity,
  }: Pick<Config, 'host' | 'apiKeys' | 'authentication' | 'identity'>,
  log: Logger,
): void {
  const means = {
    api_key: apiKeys.length > 0,
    jwt_secret: (jwt?.secrets.length ?? 0) > 0,
    jwks: jwt?.jwksUrl !== undefined,
    identity: identity.url !== undefined,
    certificate: certificates.size > 0,
    oidc: oidc !== undefined,
  };
  const taken = Object.entries(means).flatMap(([name, configured]) => (configured ? [name] : []));
  log.info('authentication', { required, means: taken, host });
  if (!required && !isLoopback(host)) {
    log.warn('authentication_off', {
      host,
      problem: 'whoever reaches the port may do everything, as AUTH_MODE=none says',
    });
  }
  if (jwt?.jwksUrl?.startsWith('http:') === true && !isLoopback(new URL(jwt.jwksUrl).hostname)) {
    log.warn('jwks_not_encrypted', {
      problem: 'who can change what JWKS_URL answers on its way can make tokens: use https',
    });
  }
  if (identity.url?.startsWith('http:') === true && !isLoopback(new URL(identity.url).hostname)) {
    log.warn('identity_not_encrypted', {
      problem: 'who can change what IDENTITY_SERVICE_URL answers on its way can be anybody: use https',
    });
  }
  if (oidc?.issuer.startsWith('http:') === true && !isLoopback(new URL(oidc.issuer).hostname)) {
    log.warn('login_not_encrypted', {
      problem: 'who can change what OIDC_ISSUER answers on its way can log in as anybody: use https',
    });
  }
  if (oidc?.publicUrl.startsWith('http:') === true && !isLoopback(new URL(oidc.publicUrl).hostname)) {
    log.warn('sessions_not_encrypted', {
      problem: 'PUBLIC_URL is no https: who listens on the way can take over the sessions of browsers',
    });
  }
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
    const signal = within(JWKS_TIMEOUT_MS);
    const answer = await egress.fetch(url, { trusted: true, headers: { accept: 'application/json' }, signal });
    if (answer.status !== 200) throw new Error(`the provider answered ${answer.status}`);
    return JSON.parse(await answer.text());
  };
  return {
    keys: createKeySet({ fetchKeys, elapsed: () => performance.now(), log }),
    close: () => egress.close(),
  };
}
