/** What a worker knows of services: where they are, and how its own calls of them went. */
import type pg from 'pg';
import { findService } from '../engine/registry.ts';
import type { Service, ServiceStore } from '../engine/registry-ports.ts';
import { createServiceCalls, type ServiceCalls } from '../engine/service-calls.ts';
import { createServiceDirectory } from '../engine/service-directory.ts';
import { createServiceStore } from '../store/services.ts';

export interface WorkerServices {
  find(tenantId: string, name: string): Promise<Service | undefined>;
  /** What is registered, without what is configured. */
  store: ServiceStore;
  /** The registry has changed. */
  forget(): void;
  calls: ServiceCalls;
}

export function createWorkerServices(deps: {
  pool: pg.Pool;
  configured: Readonly<Record<string, string>>;
}): WorkerServices {
  const store = createServiceStore(deps.pool);
  const configured = new Map(Object.entries(deps.configured));
  const directory = createServiceDirectory({
    find: (tenantId, name) => findService(store, configured, tenantId, name),
    now: () => performance.now(),
  });
  const calls = createServiceCalls({ now: Date.now, random: Math.random, onChange: () => undefined });
  return { find: directory.find, store, forget: directory.forget, calls };
}
