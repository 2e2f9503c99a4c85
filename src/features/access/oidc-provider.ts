/**
 * The OpenID provider for logins: authorization code with PKCE. Its metadata is read when a login first
 * needs it and again when that is old, so that no start depends on it; while it is away there are no logins, and nothing else
 * is missing. Its keys are read for each login anew: logins are rare, and rotated keys are valid at once.
 */

import * as oidc from 'openid-client';
import { OrchestratorError } from '../../domain/errors.ts';
import type { Logger } from '../../engine/ports/logger.ts';
import type { Attempt, LoginProvider } from '../../http/auth/login.ts';

export interface ProviderDeps {
  issuer: string;
  clientId: string;
  /** Undefined: a public client, which has PKCE alone. */
  clientSecret: string | undefined;
  scopes: string;
  redirectUri: string;
  toleranceSeconds: number;
  /** Throws ProviderAway when there is no answer. */
  fetch: oidc.CustomFetch;
  /** Milliseconds of a clock that does not jump. */
  elapsed(): number;
  log: Logger;
  maxAgeMs?: number;
  cooldownMs?: number;
}

/** The provider did not answer, or said itself that it cannot. */
export class ProviderAway extends Error {}

const MAX_AGE_MS = 3_600_000;
/** While it is away it is not called more often, however many try to log in. */
const COOLDOWN_MS = 5_000;
const TIMEOUT_SECONDS = 10;
const MAX_SHOWN = 200;

export function createLoginProvider(deps: ProviderDeps): LoginProvider {
  const { issuer, clientId, scopes, redirectUri, elapsed, log } = deps;
  const { maxAgeMs = MAX_AGE_MS, cooldownMs = COOLDOWN_MS } = deps;
  const insecure = issuer.startsWith('http:');
  let cached: { metadata: oidc.ServerMetadata; at: number } | undefined;
  let tried = Number.NEGATIVE_INFINITY;
  let reading: Promise<void> | undefined;

  async function read(): Promise<void> {
    tried = elapsed();
    try {
      const found = await oidc.discovery(new URL(issuer), clientId, undefined, undefined, {
        [oidc.customFetch]: deps.fetch,
        timeout: TIMEOUT_SECONDS,
        ...(insecure ? { execute: [oidc.allowInsecureRequests] } : {}),
      });
      cached = { metadata: found.serverMetadata(), at: elapsed() };
    } catch (error) {
      log.warn('login_provider_unavailable', { error: reasonsOf(error) });
    } finally {
      reading = undefined;
    }
  }

  async function configuration(): Promise<oidc.Configuration> {
    if (cached === undefined || elapsed() - cached.at > maxAgeMs) {
      if (reading === undefined && elapsed() - tried >= cooldownMs) reading = read();
      await reading;
    }
    if (cached === undefined) throw away();
    // Its keys are remembered with the object: each login has its own.
    const config = new oidc.Configuration(
      { ...cached.metadata },
      clientId,
      { [oidc.clockTolerance]: deps.toleranceSeconds },
      clientAuthentication(cached.metadata, deps.clientSecret),
    );
    config[oidc.customFetch] = deps.fetch;
    config.timeout = TIMEOUT_SECONDS;
    // The signature of the token is checked, not only the connection that it came over.
    oidc.enableNonRepudiationChecks(config);
    if (insecure) oidc.allowInsecureRequests(config);
    return config;
  }

  return {
    async start({ state, nonce, verifier }) {
      return oidc.buildAuthorizationUrl(await configuration(), {
        redirect_uri: redirectUri,
        scope: scopes,
        ...{ state, nonce },
        code_challenge: await oidc.calculatePKCECodeChallenge(verifier),
        code_challenge_method: 'S256',
      });
    },
    async finish(answer, { state, nonce, verifier }) {
      const config = await configuration();
      try {
        const tokens = await oidc.authorizationCodeGrant(config, answer, {
          pkceCodeVerifier: verifier,
          expectedState: state,
          expectedNonce: nonce,
          idTokenExpected: true,
        });
        const claims = tokens.claims();
        if (claims === undefined) throw new Error('there is no ID token');
        return claims;
      } catch (error) {
        throw loginError(error, log);
      }
    },
    async endOfSession(returnTo) {
      const config = await configuration().catch(() => undefined);
      if (config?.serverMetadata().end_session_endpoint === undefined) return undefined;
      return oidc.buildEndSessionUrl(config, { post_logout_redirect_uri: returnTo });
    },
  };
}

export function newAttempt(): Attempt {
  return { state: oidc.randomState(), nonce: oidc.randomNonce(), verifier: oidc.randomPKCECodeVerifier() };
}

/** In the header, as every provider has to take it, unless it says that it takes it in the body alone. */
function clientAuthentication(
  { token_endpoint_auth_methods_supported: methods }: oidc.ServerMetadata,
  secret: string | undefined,
): oidc.ClientAuth {
  if (secret === undefined) return oidc.None();
  const inBody = methods?.includes('client_secret_post') === true && !methods.includes('client_secret_basic');
  return inBody ? oidc.ClientSecretPost(secret) : oidc.ClientSecretBasic(secret);
}

/** The provider's own error is shown; what is invalid about its answer goes to our log. */
function loginError(error: unknown, log: Logger): OrchestratorError {
  const reasons = reasonsOf(error);
  if (isAway(error)) {
    log.warn('login_provider_unavailable', { error: reasons });
    return away();
  }
  log.info('login_refused', { why: reasons });
  if (error instanceof oidc.AuthorizationResponseError) {
    const said = [error.error, error.error_description].filter((part) => part !== undefined).join(': ');
    return new OrchestratorError('login_failed', `The identity provider says: ${said.slice(0, MAX_SHOWN)}`);
  }
  return new OrchestratorError('login_failed', 'The answer of the identity provider does not hold: log in again');
}

function away(): OrchestratorError {
  return new OrchestratorError('unavailable', 'The identity provider cannot be reached at the moment');
}

function isAway(error: unknown): boolean {
  if (error instanceof ProviderAway) return true;
  return error instanceof Error && error.cause !== undefined && isAway(error.cause);
}

/** The library says what went wrong in the causes of its errors. */
function reasonsOf(error: unknown): string {
  if (!(error instanceof Error)) return typeof error === 'object' ? '' : String(error).slice(0, MAX_SHOWN);
  const said = 'error' in error && typeof error.error === 'string' ? ` (${error.error})` : '';
  const cause = error.cause instanceof Error ? `: ${reasonsOf(error.cause)}` : '';
  return `${error.message}${said}${cause}`.slice(0, MAX_SHOWN);
}
