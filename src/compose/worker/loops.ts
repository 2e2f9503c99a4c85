/** What a worker does beside its tasks, over and over until it stops. */
import { restAsLong } from '../../engine/control/rest.ts';
import type { HeartbeatStore } from '../../engine/health/engine-health.ts';
import {
  type ReconcileDeps,
  type ReconcileReport,
  reconcileUntil,
  repeatUntil,
} from '../../engine/recover/reconcile.ts';
import { whileAnswered } from '../../engine/recover/release-lock.ts';
import { watchClock } from '../../store/core/database-clock.ts';
import { takeBackTimesAhead } from '../../store/recover/times-ahead.ts';
import type { LoopMonitor } from '../../telemetry/event-loop.ts';
import type { WorkerMetrics } from '../../telemetry/worker-metrics.ts';
import { fairnessOf } from '../fairness.ts';
import type { WorkerEngine } from './engine.ts';
import { beatUntil } from './heartbeat.ts';
import type { WorkerLanes } from './lanes.ts';
import { maintenanceJobs } from './maintenance.ts';
import type { WorkerResources } from './resources.ts';

const RECONCILE_EVERY_MS = 1_000;
const WATCH_COMMITS_EVERY_MS = 2_000;
const LOOK_AT_CLOCK_EVERY_MS = 5_000;
/** A paused lane that the queue has forgotten may run for so long. */
const KEEP_LANES_EVERY_MS = 1_000;

interface Parts {
  lanes: WorkerLanes;
  beats: HeartbeatStore;
  loop: Pick<LoopMonitor, 'takeLongestMs'>;
  metrics: Pick<WorkerMetrics, 'worker'>;
  keepLanes(): Promise<unknown>;
}

export function workerLoops(
  resources: WorkerResources,
  engine: WorkerEngine,
  { lanes, beats, loop, metrics, keepLanes }: Parts,
  signal: AbortSignal,
): Array<Promise<unknown>> {
  const { config, backend, clock, failpoint, faults, pool, queue, worker, writePath, log } = resources;
  const { tasks, live, runs, plans } = engine;
  const reconcileDeps: ReconcileDeps = {
    ...engine.again,
    tasks,
    sagas: engine.sagas,
    reconcile: whileAnswered(engine.reconcile, queue.ping),
    rest: restAsLong,
    window: config.admissionWindow,
    fairness: fairnessOf(live),
    checkEveryMs: config.reconcileSeconds * 1000,
    suspects: new Map(),
    queueUse: backend.memoryUse,
    log,
  };
  const onPass = async (report: ReconcileReport, durationMs: number) => {
    const lagMs = await beats.recordPass({ worker, durationMs, ...report });
    metrics.worker.reconciled(report, durationMs, lagMs);
  };
  const sign = {
    id: worker,
    lanes: lanes.names,
    activeTasks: lanes.active,
    takeLongestLagMs: loop.takeLongestMs,
    isUnresponsive: lanes.isUnresponsive,
    async faults() {
      await writePath.probeAgain();
      return faults.ledger.problems();
    },
  };
  const watchCommits = async () => faults.commitWaits(tasks.commitWaitsMs());
  const readClock = watchClock(clock, () => takeBackTimesAhead(pool));
  return [
    reconcileUntil(reconcileDeps, { everyMs: RECONCILE_EVERY_MS, signal, random: Math.random, onPass }),
    writePath.watchUntil(signal),
    repeatUntil({ signal, log }, WATCH_COMMITS_EVERY_MS, 'watch_commits', watchCommits),
    lanes.watchUntil(signal),
    repeatUntil({ signal, log }, KEEP_LANES_EVERY_MS, 'pause_lanes', keepLanes),
    live.watchUntil(signal),
    beatUntil(signal, beats, sign, log),
    repeatUntil({ signal, log }, LOOK_AT_CLOCK_EVERY_MS, 'read_clock', readClock),
    ...maintenanceJobs(
      {
        ...{ pool, queue, runs, plans, failpoint, config, log },
        lanes: engine.catalogue.names(),
        cancelRun: engine.cancelRun,
        removed: metrics.worker.removed,
      },
      signal,
    ),
  ];
}
