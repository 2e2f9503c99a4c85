/** Rate limits of services: when a call may be made. */
import { setTimeout as sleep } from 'node:timers/promises';
import { type ServiceLimit, serviceKey } from '../../domain/service-rate.ts';
import type { Failpoint } from '../../engine/ports/failpoint.ts';

export interface RateSlots {
  /** Milliseconds until this attempt is to try again; 0: the call was counted and may be made. */
  take(request: { key: string; id: string; limit: ServiceLimit }): Promise<{ waitMs: number; until: Date }>;
}

/** So short a wait costs less than another delivery: calls of the batch before were a little late too. */
const WAIT_HERE_MS = 50;

export function createRateLimit(deps: {
  limits: ReadonlyMap<string, ServiceLimit>;
  slots: RateSlots;
  failpoint: Failpoint;
  onDefer(key: string): void;
}) {
  return async (service: string, id: string, signal: AbortSignal): Promise<Date | undefined> => {
    // Of all tenants together: what is protected is the service behind the name, and whom it serves is no matter to it.
    const key = serviceKey(service);
    const limit = deps.limits.get(key);
    if (limit === undefined) return undefined;
    for (;;) {
      signal.throwIfAborted();
      const { waitMs, until } = await deps.slots.take({ key, id, limit });
      if (waitMs <= 0) {
        await deps.failpoint('turn.afterTake');
        return undefined;
      }
      if (waitMs > WAIT_HERE_MS) {
        deps.onDefer(key);
        return until;
      }
      await sleep(waitMs, undefined, { signal });
    }
  };
}
