/** What the adapters of one attempt get of services: where they are, and when they may be called. */
import type { ServicesOfTask } from '../../../workers/adapter.ts';
import { Sleep } from '../../../workers/execution.ts';
import type { ExecutionCall } from '../../engine/ports/executor.ts';
import type { Service } from './ports.ts';
import type { ServiceCalls } from './service-calls.ts';
import { createServicePermits } from './service-places.ts';

export interface TaskServicesDeps {
  find(tenantId: string, name: string): Promise<Service | undefined>;
  calls: Pick<ServiceCalls, 'permit'>;
  /** The next rate-limit slot of a service: when to try again, or undefined when it may be called. */
  takeRateSlot(service: string, id: string, signal: AbortSignal): Promise<Date | undefined>;
  now(): Date;
}

type Attempt = Pick<ExecutionCall, 'run' | 'idempotencyKey' | 'attempt' | 'signal'>;

export function createServicesOfTasks(deps: TaskServicesDeps): (call: Attempt) => ServicesOfTask {
  return ({ run: { tenantId }, idempotencyKey, attempt, signal }) => {
    const { acquire, release, releaseAll } = createServicePermits({
      find: (name) => deps.find(tenantId, name),
      permit: (service, request, until) => deps.calls.permit(tenantId, service, request, until),
      signal,
      now: deps.now,
    });
    return {
      ...{ acquire, release },
      async service(name) {
        const found = await deps.find(tenantId, name);
        return found === undefined ? undefined : { name: found.name, baseUrl: found.baseUrl };
      },
      async awaitRateLimit(name) {
        // By attempt: a redelivery finds its slot again, and another attempt is another call.
        const until = await deps.takeRateSlot(name, `${idempotencyKey}.${attempt}`, signal);
        if (until !== undefined) throw new Sleep(until);
      },
      close: releaseAll,
    };
  };
}
