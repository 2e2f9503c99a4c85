/** The worker's side of services: cached addresses, circuits of its own calls, and health checks. */
import type pg from 'pg';
import type { Egress } from '../../egress/egress.ts';
import type { Logger } from '../../engine/ports/logger.ts';
import { repeatUntil } from '../../engine/recover/reconcile.ts';
import { createServiceChecks } from './check-services.ts';
import { createServiceCheckStore } from './check-store.ts';
import { createCircuitStore } from './circuit-store.ts';
import type { Service, ServiceStore } from './ports.ts';
import { findService } from './registry.ts';
import { createCircuitReporter } from './report-circuits.ts';
import { createServiceCalls, type ServiceCalls } from './service-calls.ts';
import { createServiceDirectory } from './service-directory.ts';
import { createServiceStore } from './store.ts';

const CHECK_EVERY_MS = 500;
const REPORT_EVERY_MS = 500;
const REMOVE_EVERY_MS = 10_000;
const REMOVED_AT_ONCE = 500;

export interface WorkerServices {
  find(tenantId: string, name: string): Promise<Service | undefined>;
  /** What is registered, without what is configured. */
  store: ServiceStore;
  /** The registry has changed. */
  forget(): void;
  calls: ServiceCalls;
  run(fetch: Egress['fetch'], signal: AbortSignal): Promise<void>;
  /** When no call is under way any more. */
  close(): Promise<void>;
}

export function createWorkerServices(deps: {
  pool: pg.Pool;
  configured: Readonly<Record<string, string>>;
  worker: string;
  breakers: boolean;
  log: Logger;
}): WorkerServices {
  const { pool, worker, breakers, log } = deps;
  const store = createServiceStore(pool);
  const configured = new Map(Object.entries(deps.configured));
  const directory = createServiceDirectory({
    find: (tenantId, name) => findService(store, configured, tenantId, name),
    now: () => performance.now(),
  });
  const circuits = createCircuitStore(pool);
  const reporter = createCircuitReporter({ circuits, worker });
  const calls = createServiceCalls({ now: Date.now, random: Math.random, onChange: reporter.changed, breakers });
  const checks = createServiceCheckStore(pool);
  return {
    find: directory.find,
    forget: directory.forget,
    store,
    calls,
    async run(fetch, signal) {
      const health = createServiceChecks({ checks, configured, fetch, now: () => performance.now(), log });
      // Of the process before this one that had the same name.
      await circuits.clear(worker).catch(() => undefined);
      await Promise.all([
        repeatUntil({ signal, log }, CHECK_EVERY_MS, 'check_services', () => health.pass(signal)),
        repeatUntil({ signal, log }, REPORT_EVERY_MS, 'store_circuits', reporter.flush),
        repeatUntil({ signal, log }, REMOVE_EVERY_MS, 'remove_service_checks', () =>
          checks.removeGone(REMOVED_AT_ONCE),
        ),
      ]);
      await health.idle();
    },
    async close() {
      await circuits.clear(worker).catch(() => undefined);
    },
  };
}
