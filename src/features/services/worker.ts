/** The worker's part: instances and rate limits for calls, and removal of what is left of deleted services. */
import { pause, repeatUntil } from '../../engine/recover/reconcile.ts';
import { removeExpired } from '../../engine/recover/remove-expired.ts';
import type { FeatureWorker } from '../../feature.ts';
import { createGoneServices } from './gone-services.ts';
import { createServiceMetrics } from './metrics.ts';
import { createRateLimit } from './rate-limit.ts';
import { createServiceTurnStore } from './rate-limit-store.ts';
import { SERVICE_CHANNEL } from './store.ts';
import { createServicesOfTasks } from './task-services.ts';
import { createWorkerServices } from './worker-services.ts';

const REMOVE_EVERY_MS = 10_000;

export const worker: FeatureWorker = {
  open({ pool, config, worker: name, fetch, failpoint, now, log }) {
    const { peers, services: configured, serviceRateLimits, circuitBreakers: breakers } = config;
    const services = createWorkerServices({ pool, configured, worker: name, breakers, log });
    const metrics = createServiceMetrics(services.calls.circuits);
    const takeRateSlot = createRateLimit({
      limits: serviceRateLimits,
      slots: createServiceTurnStore(pool),
      failpoint,
      onDefer: metrics.callPutOff,
    });
    const expiry = createGoneServices(pool, { peers, configured: Object.keys(configured) });
    const pass = (signal: AbortSignal) => removeExpired({ expiry, pause, log }, signal);
    return {
      services: createServicesOfTasks({
        ...{ find: services.find, calls: services.calls, takeRateSlot: takeRateSlot },
        now: () => new Date(now()),
      }),
      channels: { [SERVICE_CHANNEL]: services.forget },
      registerMetrics: metrics.register,
      work: (signal) =>
        Promise.all([
          services.run(fetch, signal),
          repeatUntil({ signal, log }, REMOVE_EVERY_MS, 'remove_gone_services', () => pass(signal)),
        ]),
      close: services.close,
    };
  },
};
