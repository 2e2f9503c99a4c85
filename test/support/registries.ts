/** The metrics of an API and of a worker as compose registers them, with something counted in each of them. */
import type pg from 'pg';
import { apiMetrics, meteredAnswers } from '../../src/compose/api/metrics.ts';
import { meteredTasks, servedMetrics } from '../../src/compose/shared-metrics.ts';
import { workerMetrics } from '../../src/compose/worker/metrics.ts';
import type { TaskStore } from '../../src/engine/ports/tasks.ts';
import { addAuditMetrics } from '../../src/features/audit/metrics.ts';
import { createFlowMetrics } from '../../src/features/flow-runner/metrics.ts';
import { countVerifications } from '../../src/features/identity/metrics.ts';
import { countPolicyDecisions } from '../../src/features/policy/metrics.ts';
import { createServiceMetrics, type ServiceMetrics } from '../../src/features/services/metrics.ts';
import { memoryFailureCounter } from '../../src/features/sessions/metrics.ts';
import type { MetricsRegistry } from '../../src/http/server/metrics.ts';
import { createLimitMetrics } from '../../src/telemetry/limit-metrics.ts';
import { createSharedMetrics, type MetricTotals, type SharedMetrics } from '../../src/telemetry/shared-metrics.ts';
import { spanCounter } from '../../src/telemetry/span-metrics.ts';
import { outcome } from '../harness/outcomes.ts';

export const TRACE = 'a'.repeat(31);
/** A number of one digit makes the id of a trace whole. */
const trace = (number: number) => `${TRACE}${number}`;

const ended = { status: 'completed', cause: 'none', service: 'orchestrator' };
const totals: MetricTotals = {
  add: () => Promise.resolve(),
  retriedTasks: () => Promise.resolve(new Set()),
  countRuns: () => Promise.resolve([{ traceId: trace(3), seconds: 0.2, endedAt: 1_800_000_000.5 }]),
  read: () =>
    Promise.resolve({
      samples: [
        {
          name: 'orchestrator_runs_ended_total',
          labels: JSON.stringify(ended, ['cause', 'service', 'status']),
          value: 3,
        },
      ],
      activeRuns: 1,
      activeTasks: 2,
    }),
};

const process = {
  queue: 'redis',
  // What is read of a pool.
  pool: { totalCount: 3, idleCount: 1, waitingCount: 0, options: { max: 10 } } as unknown as pg.Pool,
  loopLagMs: () => 12,
  deadLetters: () => Promise.resolve(4),
};

export interface Doors {
  api: MetricsRegistry;
  worker: MetricsRegistry;
  /** To count more. */
  apiMetrics: ReturnType<typeof apiMetrics>;
  workerMetrics: ReturnType<typeof workerMetrics>;
  services: ServiceMetrics;
  shared: SharedMetrics;
}

/** As a process has them when it has just begun. */
export function freshMetrics() {
  const shared = createSharedMetrics({ totals, now: () => performance.now() });
  const api = apiMetrics({
    ...process,
    connections: process.pool,
    acceptsInHand: () => 1,
    queueUse: () => 0.25,
    databaseUsable: () => true,
    faults: () => [{ kind: 'write_path', source: 'database', class: '42P01', firstAt: Date.now() - 5_000 }],
    engine: () =>
      Promise.resolve({
        databaseConnected: true,
        queueConnected: true,
        queued: 5,
        stuck: 0,
        lanes: [{ lane: 'wait', depth: 4, active: 1, delayed: 2, blocked: 3, oldestWaitingSeconds: 7.5, workers: 1 }],
        workers: [{ alive: true }, { alive: false }],
        sweep: { ageSeconds: 0.5 },
      }),
  });
  const worker = workerMetrics({
    ...process,
    pendingCommits: () => 0,
    activeTasks: () => 3,
    isUnresponsive: () => false,
    faults: () => [{ kind: 'statement', source: 'claim-task', class: '42P01', firstAt: Date.now() - 5_000 }],
  });

  const services = createServiceMetrics(() => [{ name: 'ranker', state: 'open' }]);
  services.register(worker.registry);
  worker.registry.registerMetric(memoryFailureCounter());
  const flows = createFlowMetrics({
    consumed: ['flow_runs'],
    lag: () => Promise.resolve([{ topic: 'flow_runs', partition: 0, lag: 3 }]),
    outboxAgeSeconds: () => Promise.resolve(1.5),
  });
  flows.register(api.registry);
  const limits = createLimitMetrics(api.registry);
  const audit = { dropped: 0 };
  for (const { registry } of [api, worker])
    addAuditMetrics(registry, { queued: () => 1, dropped: () => audit.dropped });
  const spans = [api, worker].map(({ registry }) => spanCounter(registry));
  const policy = countPolicyDecisions();
  policy.register(api.registry);
  const verifications = [api, worker].map(({ registry }) => {
    const counted = countVerifications();
    counted.register(registry);
    return counted;
  });
  return { api, worker, shared, services, flows, limits, audit, spans, policy, verifications };
}

export async function registeredMetrics(): Promise<Doors> {
  const { api, worker, shared, services, flows, limits, audit, spans, policy, verifications } = freshMetrics();
  limits.rejected('requests');
  limits.signatureRejected('wrong_signature');
  limits.away();
  audit.dropped = 2;
  const answered = meteredAnswers(shared, api);
  const request = { method: 'POST', endpoint: '/workflows/{workflow_id}/execute', seconds: 0.02 };
  answered({ ...request, status: 202, traceId: trace(1), problem: undefined });
  answered({ ...request, status: 503, traceId: trace(1), problem: 'unavailable' });
  api.accepted('accepted', 0.01);
  for (const metrics of [api, worker]) {
    metrics.wrote({ what: 'runs', items: 2, seconds: 0.003, stored: true });
    // The second connection is the first that was made anew.
    metrics.listening();
    metrics.listening();
  }
  worker.wrote({ what: 'outcomes', items: 20, seconds: 0.004, stored: false });

  for (const count of spans) count('dropped', 1);
  policy.count('allowed');
  for (const { count } of verifications) count('verified');
  const { taskDelivered } = shared;
  taskDelivered();
  const stored: Pick<TaskStore, 'commit' | 'claim' | 'recordLateEffect'> = {
    commit: () => Promise.resolve('accepted'),
    claim: () => Promise.resolve(undefined),
    recordLateEffect: () => Promise.resolve(),
  };
  const store = meteredTasks(stored, shared, worker.worker.delivery);
  const task = { runId: 'r', actionId: 'a', actionType: 'wait' };
  await store.commit(outcome({ ...task, traceId: trace(2) }));
  await store.commit(outcome({ ...task, status: 'retrying' }));
  await store.claim({ ...task, epoch: 1, worker: 'w' });
  worker.outbound.decided({ decision: 'allowed', refusal: undefined });
  const { worker: events } = worker;
  services.callPutOff('ranker');
  flows.message('flow_runs', 'taken');
  flows.lateAnswer();
  events.callSpans('stored', 2);
  events.requested('2xx', 0.1);
  events.removed(1);
  events.picked('wait', 0.004);
  events.reconciled({ dispatched: 1, checked: 2, repaired: 0, heldBack: false }, 12, 0);
  await shared.flush();
  return {
    api: servedMetrics(api.registry, shared),
    worker: servedMetrics(worker.registry, shared),
    apiMetrics: api,
    workerMetrics: worker,
    services,
    shared,
  };
}
