/** The settings of backpressure, quotas, fair share, rate limits, and of the checks for lost work. */
import { serviceKey } from '../../domain/service-rate.ts';
import { type RateLimit, rateLimits, weights, whole } from '../types.ts';
import { setting } from './setting.ts';

export const queue = {
  admissionWindow: setting('ADMISSION_WINDOW', whole(1), {
    default: '10000',
    description: 'Maximum number of executions in the queue; the others wait in PostgreSQL, and so do sleeping ones.',
    aliases: ['ORCHESTRATOR_MAX_CONCURRENT_RUNS', 'MAX_CONCURRENT_RUNS'],
  }),
  maxQueuedRunsPerTenant: setting('MAX_QUEUED_RUNS_PER_TENANT', whole(0), {
    default: '0',
    description: 'Quota of queued executions per tenant; further ones are rejected with 429. 0: no limit.',
  }),
  maxLiveRunsPerTenant: setting('MAX_LIVE_RUNS_PER_TENANT', whole(0), {
    default: '1000000',
    description:
      'Quota of live executions per tenant: running, sleeping and queued; further ones are rejected with 429. 0: no limit.',
  }),
  tenantWeights: setting('TENANT_WEIGHTS', weights(), {
    default: '',
    description:
      'Fair-share weights of tenants while the capacity of the queue is scarce, as name=weight; a list. 1 for all other tenants. `PUT /tenants/{tenant_id}/weight` takes precedence.',
  }),
  maxRunDepth: setting('MAX_RUN_DEPTH', whole(1, 100), {
    default: '8',
    description: 'Maximum nesting depth of executions that start others (action type `workflow`).',
  }),
  laneRateLimits: setting('LANE_RATE_LIMITS', rateLimits(), {
    default: '',
    description:
      'Rate limits by action type, for all workers together, as http_request=10/1s; a list. The same for all workers.',
  }),
  serviceRateLimits: setting('SERVICE_RATE_LIMITS', rateLimits(), {
    default: '',
    description:
      'Rate limits of `service_call` by service name, for all workers together, as doc_store=5/1s; a list. The same for all workers.',
    inConfig: (limits): ReadonlyMap<string, RateLimit> =>
      new Map([...limits].map(([name, limit]) => [serviceKey(name), limit])),
  }),
  reconcileSeconds: setting('RECONCILE_SECONDS', whole(1, 3_600), {
    default: '10',
    description: 'Interval at which executions without progress are reconciled.',
  }),
  lockDurationMs: setting('LOCK_DURATION_MS', whole(1_000, 600_000), {
    default: '15000',
    description: 'How long a task stays locked by a worker that no longer responds.',
  }),
  stalledIntervalMs: setting('STALLED_INTERVAL_MS', whole(100, 600_000), {
    default: '5000',
    description: 'Interval of the check for such stalled tasks.',
  }),
};
