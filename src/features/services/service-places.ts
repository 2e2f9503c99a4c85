/** The permits of one attempt to call services. What it has not released when it ends is released then. */
import { type AdapterContext, type CallOutcome, RetryableError } from '../../../workers/adapter.ts';
import { Sleep } from '../../../workers/execution.ts';
import type { Service } from './ports.ts';
import type { Permit, ServiceCalls } from './service-calls.ts';

export interface ServicePermits {
  acquire: AdapterContext['acquire'];
  release: AdapterContext['release'];
  /** The attempt is over. */
  releaseAll(): void;
}

export function createServicePermits(deps: {
  find(name: string): Promise<Service | undefined>;
  permit(
    service: Service,
    request: { besides: readonly string[]; again: boolean },
    signal: AbortSignal,
  ): ReturnType<ServiceCalls['permit']>;
  signal: AbortSignal;
  now(): Date;
}): ServicePermits {
  const taken = new Map<number, Extract<Permit, { is: 'permit' }>>();
  let count = 0;
  const sleep = (waitMs: number) => new Sleep(new Date(deps.now().getTime() + waitMs));

  return {
    async acquire(name, { besides, again, wait }) {
      const service = await deps.find(name);
      if (service === undefined) return undefined;
      const permit = await deps.permit(service, { besides, again }, deps.signal);
      switch (permit.is) {
        case 'permit': {
          count += 1;
          taken.set(count, permit);
          const { instanceId, baseUrl, timeoutSeconds } = permit;
          return { number: count, instanceId, baseUrl, timeoutSeconds };
        }
        case 'open':
          if (again) return undefined;
          if (wait) throw sleep(permit.waitMs);
          throw new RetryableError(`the circuit of the service '${name}' is open`, { code: 'circuit_open' });
        case 'full':
          if (again) return undefined;
          throw sleep(permit.waitMs);
        case 'none':
          if (again) return undefined;
          throw new RetryableError(`no instance of the service '${name}' may be called`, { code: 'no_instance' });
      }
    },
    async release({ number }, outcome) {
      taken.get(number)?.end(outcome);
      taken.delete(number);
    },
    releaseAll() {
      for (const permit of taken.values()) permit.end(outcomeOfAborted(deps.signal));
      taken.clear();
    },
  };
}

/** A call that ran into a deadline has failed; one that was cancelled may have been about to be answered. */
function outcomeOfAborted(signal: AbortSignal): CallOutcome {
  return signal.aborted && signal.reason instanceof Error && signal.reason.name === 'TimeoutError'
    ? 'failed'
    : 'unclear';
}
