/** Logins with a browser, from the settings. */
import type { Config } from '../../config/config.ts';
import { errorMessage } from '../../domain/texts/error-message.ts';
import { createEgress } from '../../egress/egress.ts';
import { within } from '../../engine/deliver/time-limit.ts';
import type { Logger } from '../../engine/ports/logger.ts';
import type { Login } from '../../http/auth/login.ts';
import { createSealer } from '../../http/auth/sealed.ts';
import { createSessions, type SessionRules } from '../../http/auth/sessions.ts';
import { CALLBACK } from './login-routes.ts';
import { createLoginProvider, ProviderAway } from './oidc-provider.ts';

const MAX_ANSWER_BYTES = 256 * 1_024;
const TIMEOUT_MS = 10_000;

/** Undefined: no provider is configured. */
export function loginOf(
  config: Pick<Config, 'authentication'>,
  log: Logger,
  directory?: SessionRules['directory'],
): { login: Login; close(): Promise<void> } | undefined {
  const { oidc } = config.authentication;
  if (oidc === undefined) return undefined;
  const { issuer, clientId, clientSecret, scopes, toleranceSeconds, publicUrl, sessionSecrets: secrets } = oidc;
  const now = () => new Date();
  const { fetch, close } = providerFetch(log);
  return {
    login: {
      provider: createLoginProvider({
        ...{ issuer, clientId, clientSecret, scopes, toleranceSeconds, fetch, log },
        redirectUri: publicUrl + CALLBACK,
        elapsed: () => performance.now(),
      }),
      sessions: createSessions({
        secrets,
        hours: oidc.sessionHours,
        issuer,
        clientId,
        publicUrl,
        now,
        directory,
      }),
      attempts: createSealer({ secrets, purpose: 'login', now }),
      claims: oidc,
      publicUrl,
    },
    close,
  };
}

type ProviderFetch = Parameters<typeof createLoginProvider>[0]['fetch'];

/** To the provider that is configured, and to where it says that its own endpoints are; nowhere else, whatever redirects. */
export function providerFetch(log: Logger): { fetch: ProviderFetch; close(): Promise<void> } {
  const egress = createEgress({
    policy: 'none',
    allow: [],
    ownAddresses: [],
    isTrustedOrigin: () => false,
    maxBytes: MAX_ANSWER_BYTES,
    log,
  });
  const fetch: ProviderFetch = async (url, { method, headers, body, signal }) => {
    try {
      const answer = await egress.fetch(url, {
        trusted: true,
        method,
        headers,
        // The library sends forms, and nothing else of a size.
        ...(body === undefined || body === null ? {} : { body: String(body) }),
        signal: within(TIMEOUT_MS, ...(signal === undefined ? [] : [signal])),
      });
      if (answer.status >= 500) throw new Error(`it answered ${answer.status}`);
      const text = await answer.text();
      return new Response(text === '' ? null : text, { status: answer.status, headers: answer.headers });
    } catch (error) {
      throw new ProviderAway(`the provider gave no answer: ${errorMessage(error)}`);
    }
  };
  return { fetch, close: () => egress.close() };
}
