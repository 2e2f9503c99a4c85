/** How the doors find out who asks. */
import { randomBytes } from 'node:crypto';
import type pg from 'pg';
import { v7 as uuidv7 } from 'uuid';
import { isLoopback } from '../config/authentication.ts';
import type { Config } from '../config.ts';
import { createEgress } from '../egress/egress.ts';
import { type ApiKeys, createApiKeys } from '../engine/api-keys.ts';
import { createEndedSessions } from '../engine/ended-sessions.ts';
import { createFindApiKey } from '../engine/find-api-key.ts';
import type { Logger } from '../engine/ports.ts';
import { repeatUntil } from '../engine/sweep.ts';
import { within } from '../engine/time-limit.ts';
import { createIdentify, type WhoAsks } from '../http/auth/identify.ts';
import { createKeySet, type KeySet } from '../http/auth/jwks.ts';
import { createJwtVerifier, type JwtVerifier } from '../http/auth/jwt.ts';
import type { Login } from '../http/auth/login.ts';
import type { SessionRules } from '../http/auth/sessions.ts';
import { createApiKeyDirectory, createApiKeyStore } from '../store/api-keys.ts';
import { createSessionDirectory } from '../store/login-sessions.ts';
import { loginOf } from './login.ts';

const JWKS_TIMEOUT_MS = 5_000;
const FLUSH_EVERY_MS = 5_000;
const MAX_JWKS_BYTES = 256 * 1_024;

export interface Authentication {
  whoAsks: WhoAsks;
  /** Undefined: no browser can log in. */
  login: Login | undefined;
  close(): Promise<void>;
}

/** Without `pool` keys that tenants have made are not known, nor sessions: both are for the API. */
export function authenticationOf(
  config: Pick<Config, 'apiKeys' | 'authentication'>,
  log: Logger,
  pool?: pg.Pool,
): Authentication {
  const { required, jwt, certificates, trustedCallers, metricsTokens } = config.authentication;
  const provider = jwt?.jwksUrl === undefined ? undefined : keySetAt(jwt.jwksUrl, log);
  const verify: JwtVerifier | undefined =
    jwt === undefined ? undefined : createJwtVerifier({ ...jwt, keys: provider?.keys, now: () => new Date() });
  const madeKeys =
    pool === undefined
      ? undefined
      : createFindApiKey({
          directory: createApiKeyDirectory(pool),
          elapsed: () => performance.now(),
        });
  const browsers = pool === undefined ? undefined : loginOf(config, log, keptSessions(pool, log));
  const stopping = new AbortController();
  const flushing =
    madeKeys === undefined
      ? undefined
      : repeatUntil(stopping.signal, FLUSH_EVERY_MS, 'note_api_keys', madeKeys.flush, log);
  return {
    whoAsks: createIdentify({
      ...{ required, apiKeys: config.apiKeys, madeKeys, jwt: verify },
      ...{ certificates, trustedCallers, metricsTokens, sessions: browsers?.login.sessions },
    }),
    login: browsers?.login,
    async close() {
      stopping.abort();
      await flushing;
      // What is lost of it is when a key was used last.
      await madeKeys?.flush().catch((error: Error) => log.warn('key_use_lost', { error: error.message }));
      await provider?.close();
      await browsers?.close();
    },
  };
}

/** Says at start who is let in, and what of that an operator should know. */
export function announceAuthentication(
  {
    host,
    apiKeys,
    authentication: { required, jwt, oidc, certificates },
  }: Pick<Config, 'host' | 'apiKeys' | 'authentication'>,
  log: Logger,
): void {
  const means = {
    api_key: apiKeys.length > 0,
    jwt_secret: (jwt?.secrets.length ?? 0) > 0,
    jwks: jwt?.jwksUrl !== undefined,
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

function keptSessions(pool: pg.Pool, log: Logger): SessionRules['kept'] {
  const directory = createSessionDirectory(pool);
  const isEnded = createEndedSessions({ directory, elapsed: () => performance.now(), log });
  return { begin: directory.begin, isEnded };
}

export function apiKeysOf(pool: pg.Pool): ApiKeys {
  return createApiKeys({ keys: createApiKeyStore(pool), newId: uuidv7, random: randomBytes });
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
