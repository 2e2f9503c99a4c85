/**
 * The circuit of one instance, in this process. Closed: calls go through, and so many failures in a row open it. Open:
 * nothing goes through until the recovery time is over. Half-open: one call is under way; its end closes or opens it.
 */
import { CircuitState, ConsecutiveBreaker, circuitBreaker, handleWhen } from 'cockatiel';
import type { ServiceSettings } from './domain.ts';

export type CircuitName = 'closed' | 'half_open' | 'open';
/** `answered`: it works, also when it rejects the call. `unclear`: the end of the call says nothing about it. */
export type CallOutcome = 'answered' | 'failed' | 'unclear';

export interface Circuit {
  state(): CircuitName;
  /** Milliseconds until it lets a call through; 0: now. */
  waitMs(): number;
  outstanding(): number;
  /** Starts a call. Undefined: it is open. */
  enter(): ((outcome: CallOutcome) => void) | undefined;
}

class CallFailed extends Error {}

/** While the probe call is under way. */
const PROBE_AGAIN_MS = 1_000;

export function createCircuit(
  { failure_threshold, recovery_timeout }: ServiceSettings['breaker'],
  deps: { now(): number; onChange(state: CircuitName): void },
): Circuit {
  const recoveryMs = recovery_timeout * 1_000;
  const policy = circuitBreaker(
    handleWhen((error) => error instanceof CallFailed),
    { halfOpenAfter: recoveryMs, breaker: new ConsecutiveBreaker(failure_threshold) },
  );
  let openedAt = 0;
  let outstanding = 0;
  policy.onStateChange((state) => {
    if (state === CircuitState.Open) openedAt = deps.now();
    deps.onChange(nameOf(state));
  });

  const waitMs = () => {
    if (policy.state === CircuitState.Closed) return 0;
    if (policy.state === CircuitState.HalfOpen) return PROBE_AGAIN_MS;
    return Math.max(0, openedAt + recoveryMs - deps.now());
  };

  return {
    state: () => nameOf(policy.state),
    waitMs,
    outstanding: () => outstanding,
    enter() {
      // cockatiel would delay a second call until the first one has decided.
      if (policy.state === CircuitState.HalfOpen) return undefined;
      const started: Array<(outcome: CallOutcome) => void> = [];
      const call = () =>
        new Promise<void>((resolve, reject) => {
          const decides = policy.state === CircuitState.Open;
          started.push((outcome) => {
            if (outcome === 'answered') resolve();
            // A call that was to decide and says nothing leaves it open.
            else reject(outcome === 'failed' || decides ? new CallFailed() : new Error(outcome));
          });
        });
      policy.execute(call).catch(() => undefined);
      const end = started[0];
      if (end === undefined) return undefined;
      outstanding += 1;
      return (outcome) => {
        outstanding -= 1;
        end(outcome);
      };
    },
  };
}

function nameOf(state: CircuitState): CircuitName {
  if (state === CircuitState.Closed) return 'closed';
  return state === CircuitState.HalfOpen ? 'half_open' : 'open';
}
