/** Credentials besides the configured ones: keys that tenants have made, and sessions of browsers. */
import { repeatUntil } from '../../engine/recover/reconcile.ts';
import type { ApiParts, Credentials } from '../../feature.ts';
import type { SessionRules } from '../../http/auth/sessions.ts';
import { createApiKeyDirectory } from './api-key-store.ts';
import { loginOf } from './assemble-login.ts';
import { createEndedSessions } from './ended-sessions.ts';
import { createFindApiKey } from './find-api-key.ts';
import { loginFor } from './login-routes.ts';
import { createSessionDirectory } from './login-session-store.ts';

const FLUSH_EVERY_MS = 5_000;

export function credentialsOf(parts: Pick<ApiParts, 'config' | 'everyTenant' | 'log'>): Credentials {
  const { config, everyTenant, log } = parts;
  const madeKeys = createFindApiKey({
    directory: createApiKeyDirectory(everyTenant),
    elapsed: () => performance.now(),
  });
  const browsers = loginOf(config, log, sessionDirectory(parts));
  const stopping = new AbortController();
  const flushing = repeatUntil({ signal: stopping.signal, log }, FLUSH_EVERY_MS, 'note_api_keys', madeKeys.flush);
  return {
    madeKeys,
    login: browsers?.login,
    loginFor: browsers && loginFor(browsers.login),
    async close() {
      stopping.abort();
      await flushing;
      // What is lost of it is when a key was used last.
      await madeKeys.flush().catch((error: Error) => log.warn('key_use_lost', { error: error.message }));
      await browsers?.close();
    },
  };
}

function sessionDirectory({ everyTenant, log }: Pick<ApiParts, 'everyTenant' | 'log'>): SessionRules['directory'] {
  const directory = createSessionDirectory(everyTenant);
  const isEnded = createEndedSessions({ directory, elapsed: () => performance.now(), log });
  return { start: directory.start, isEnded };
}
