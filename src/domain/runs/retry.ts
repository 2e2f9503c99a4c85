/** Decides what follows a failed attempt. */
import type { RetryPolicy } from '../definition/definition.ts';

export interface AttemptFailure {
  code: string;
  retryable: boolean;
  /** Not before that, says the service (Retry-After). */
  retryAfterMs?: number | undefined;
}

export type AfterFailure =
  | { next: 'give_up'; why: 'non_retryable' | 'attempts_used' }
  | { next: 'retry'; delayMs: number };

/** A service cannot put a task off for longer than this, or than the policy's own longest delay. */
const MAX_RETRY_AFTER_MS = 3_600_000;
/** What definitions mean that were stored before there was `multiplier`. */
export const DOUBLED = 2;
/** Past it growth changes nothing that the cap would not. */
const MAX_GROWTH = 2 ** 53;

/**
 * Decides what follows failed attempt number `attempt` (1-based). The delay grows as the policy says, is capped, then
 * loses up to `jitter` of itself, and is at least what the service asked for. `random` is in [0, 1): equal arguments
 * give equal answers.
 */
export function afterFailure(
  policy: RetryPolicy,
  attempt: number,
  failure: AttemptFailure,
  random: number,
): AfterFailure {
  if (!failure.retryable || policy.non_retryable.includes(failure.code))
    return { next: 'give_up', why: 'non_retryable' };
  if (attempt >= policy.max_attempts) return { next: 'give_up', why: 'attempts_used' };
  const exponential = Math.min((policy.multiplier ?? DOUBLED) ** (attempt - 1), MAX_GROWTH);
  const growth = { fixed: 1, linear: attempt, exponential }[policy.backoff];
  const seconds = Math.min(policy.initial_delay_seconds * growth, policy.max_delay_seconds);
  const delayMs = Math.round(seconds * (1 - policy.jitter * random) * 1000);
  return { next: 'retry', delayMs: Math.max(delayMs, floorOf(policy, failure.retryAfterMs)) };
}

function floorOf(policy: RetryPolicy, retryAfterMs: number | undefined): number {
  if (retryAfterMs === undefined || !(retryAfterMs > 0)) return 0;
  return Math.ceil(Math.min(retryAfterMs, Math.max(MAX_RETRY_AFTER_MS, policy.max_delay_seconds * 1000)));
}
