/** The places where one attempt calls services. What it has not released when it ends is released then. */
import { type AdapterContext, type CallOutcome, RetryableError } from '../../../workers/adapter.ts';
import { Sleep } from '../../../workers/execution.ts';
import type { Service } from './ports.ts';
import type { Place, ServiceCalls } from './service-calls.ts';

export interface ServicePlaces {
  acquire: AdapterContext['acquire'];
  release: AdapterContext['release'];
  /** The attempt is over. */
  releaseAll(): void;
}

export function createServicePlaces(deps: {
  find(name: string): Promise<Service | undefined>;
  place(
    service: Service,
    ask: { besides: readonly string[]; again: boolean },
    signal: AbortSignal,
  ): ReturnType<ServiceCalls['place']>;
  signal: AbortSignal;
  now(): Date;
}): ServicePlaces {
  const taken = new Map<number, Extract<Place, { is: 'place' }>>();
  let count = 0;
  const sleep = (waitMs: number) => new Sleep(new Date(deps.now().getTime() + waitMs));

  return {
    async acquire(name, { besides, again, wait }) {
      const service = await deps.find(name);
      if (service === undefined) return undefined;
      const place = await deps.place(service, { besides, again }, deps.signal);
      switch (place.is) {
        case 'place': {
          count += 1;
          taken.set(count, place);
          const { instanceId, baseUrl, timeoutSeconds } = place;
          return { number: count, instanceId, baseUrl, timeoutSeconds };
        }
        case 'open':
          if (again) return undefined;
          if (wait) throw sleep(place.waitMs);
          throw new RetryableError(`the circuit of the service '${name}' is open`, { code: 'circuit_open' });
        case 'full':
          if (again) return undefined;
          throw sleep(place.waitMs);
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
      for (const place of taken.values()) place.end(outcomeOfAborted(deps.signal));
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
