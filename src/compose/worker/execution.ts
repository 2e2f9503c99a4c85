/** How a worker executes tasks: the adapters, what they get, and all that `executeTask` works with. */
import { randomUUID } from 'node:crypto';
import type { EngineCapabilities } from '../../../workers/adapter.ts';
import { createExecutor } from '../../../workers/executor.ts';
import { createIsolatedPool } from '../../../workers/isolated-pool.ts';
import { bareEnvironment } from '../../config/config.ts';
import { OrchestratorError } from '../../domain/errors.ts';
import { maskOf } from '../../domain/texts/mask-secrets.ts';
import type { Egress } from '../../egress/egress.ts';
import type { ExecuteDeps } from '../../engine/deliver/execute-task.ts';
import { createTaskLogs, NO_LOGS } from '../../engine/deliver/task-logs.ts';
import { createTaskReports } from '../../engine/deliver/task-reports.ts';
import type { ExecutionCall } from '../../engine/ports/executor.ts';
import type { RunRow } from '../../engine/ports/rows.ts';
import type { CallSpans } from '../../engine/tracing/call-spans.ts';
import type { WorkerPart } from '../../feature.ts';
import { createOutputCache } from '../../store/tasks/output-cache.ts';
import { createPartStore } from '../../store/tasks/parts.ts';
import { createTaskReportStore } from '../../store/tasks/task-reports.ts';
import type { WorkerMetrics } from '../../telemetry/worker-metrics.ts';
import { offered } from '../features.ts';
import { isPassing } from '../payloads.ts';
import type { WorkerEngine } from './engine.ts';
import type { WorkerResources } from './resources.ts';

/** A task that names one fails, as with any name that is unknown. */
const NO_SECRETS: ExecuteDeps['secrets'] = {
  async of(_tenantId, names) {
    if (names.length > 0) throw new OrchestratorError('secret_unknown', `There is no secret '${names[0]}'`);
    return new Map();
  },
};

interface Parts {
  egress: Egress;
  callSpans: CallSpans | undefined;
  features: readonly WorkerPart[];
  /** Aborted when this worker is to give back what it still has. */
  shutdown: AbortSignal;
  metrics: Pick<WorkerMetrics, 'worker'>;
}

export function createExecution(
  resources: WorkerResources,
  engine: WorkerEngine,
  { egress, callSpans, features, shutdown, metrics }: Parts,
) {
  const { config, pool, expressions, clock, faults, traced, worker, log } = resources;
  const { maxOutputBytes } = config;
  const isolated = createIsolatedPool({
    limit: config.isolatedProcesses,
    memoryMb: config.isolatedMemoryMb,
    environment: bareEnvironment(),
    underTest: config.nodeEnv === 'test',
    maxBlockMs: config.lockDurationMs,
    log,
  });
  const capabilities = (call: ExecutionCall): EngineCapabilities => {
    const own: EngineCapabilities = { children: engine.childRuns(call) };
    return Object.assign(own, ...features.map((part) => part.capabilities?.(call)));
  };
  const executor = createExecutor({
    ...{ catalogue: engine.catalogue, egress, expressions, isolated, maxOutputBytes, callSpans, log },
    settings: config.adapterSettings,
    engine: capabilities,
    services: offered(features, 'services'),
    operations: offered(features, 'operations'),
    isSampled: traced.isSampled,
    now: () => new Date(clock.now()),
    isStoreFault: (error) => faults.isOwn(error) && isPassing(error),
  });
  const secrets = offered(features, 'secrets') ?? NO_SECRETS;
  const reports = createTaskReports({
    store: createTaskReportStore(pool),
    newId: randomUUID,
    now: () => performance.now(),
    maxBytes: maxOutputBytes,
    log,
  });
  const store = offered(features, 'taskLogs');
  const logs =
    store === undefined ? NO_LOGS : createTaskLogs({ store, now: clock.now, mask: maskOf(config.hidden), log });
  const committed = features.flatMap(({ onCommitted }) => onCommitted ?? []);
  const notifyAll = (run: RunRow) => {
    for (const notify of committed) notify(run);
  };
  const deps: ExecuteDeps = {
    ...engine.again,
    ...{ executor, expressions, shutdown, reports, logs, secrets, worker, maxOutputBytes, log, isPassing },
    parts: createPartStore(pool),
    cancelRun: engine.cancelRun,
    sagas: engine.sagas,
    control: engine.control,
    cache: createOutputCache(pool),
    newId: randomUUID,
    random: Math.random,
    onPicked: (lane, waitedMs) => metrics.worker.picked(lane, waitedMs / 1000),
    spans: traced.deliveries,
    onCommitted: committed.length === 0 ? undefined : notifyAll,
  };
  return { deps, isolated, reports, logs };
}
