/** What the actions of a definition get that does not say it, by the configuration. */
import type { Config } from '../config/config.ts';
import { DEFAULT_RETRY } from '../domain/definition/definition.ts';
import type { AcceptDeps } from '../engine/accept/accept-run.ts';

export function acceptDefaults({
  defaultRetry: { maxAttempts, backoffBase },
  defaultTimeoutSeconds,
}: Pick<Config, 'defaultRetry' | 'defaultTimeoutSeconds'>): AcceptDeps['defaults'] {
  return {
    timeout_seconds: defaultTimeoutSeconds,
    retry: {
      ...DEFAULT_RETRY,
      max_attempts: maxAttempts,
      initial_delay_seconds: backoffBase,
      multiplier: backoffBase,
    },
  };
}
