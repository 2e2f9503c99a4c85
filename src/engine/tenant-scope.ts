/**
 * For whom the work at hand is done, as far as it is done for one tenant alone. It is set around a request, follows it
 * through everything that is awaited, and is what row-level security goes by (docs/decisions/0043-a-second-wall.md).
 * Whatever several requests share (a batch, a poll for all who wait) is started outside of it.
 */
import { AsyncLocalStorage } from 'node:async_hooks';
import type { Caller } from './ports/use-cases.ts';

/** What row-level security and the log need of a caller. */
export type OnBehalfOf = Pick<Caller, 'tenantId'> & Partial<Caller>;

export interface TenantScope {
  /** `work`, and what it starts, is for that tenant alone. */
  in<T>(caller: OnBehalfOf, work: () => T): T;
  /** Undefined: the service's own work, or that of several tenants. */
  tenant(): string | undefined;
  caller(): OnBehalfOf | undefined;
}

export function createTenantScope(): TenantScope {
  const storage = new AsyncLocalStorage<OnBehalfOf>();
  return {
    in: (caller, work) => storage.run(caller, work),
    tenant: () => storage.getStore()?.tenantId,
    caller: () => storage.getStore(),
  };
}
