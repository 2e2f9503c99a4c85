/**
 * How a worker keeps the stores in order in the background: it removes what is old, expired or left behind, and counts what
 * has grown. It holds nobody up, so it is done now and then.
 */
import { randomUUID } from 'node:crypto';
import type pg from 'pg';
import type { Config } from '../../config/config.ts';
import { FINALIZER_QUEUE } from '../../domain/graph/compile.ts';
import { createControlOperations } from '../../engine/control/control-operations.ts';
import { createPauseRuns, type PauseDeps } from '../../engine/control/pause-run.ts';
import type { Failpoint } from '../../engine/ports/failpoint.ts';
import type { Logger } from '../../engine/ports/logger.ts';
import type { CancelRuns } from '../../engine/ports/use-cases.ts';
import { type CleanGatesDeps, cleanGates } from '../../engine/recover/clean-gates.ts';
import { type ClearEndedDeps, createClearEnded } from '../../engine/recover/clear-ended.ts';
import { dropRemovedWeeks, maintainPartitions } from '../../engine/recover/keep-history.ts';
import { pause, repeatUntil } from '../../engine/recover/reconcile.ts';
import { removeExpired } from '../../engine/recover/remove-expired.ts';
import { createSizeRetention, removeOldRuns } from '../../engine/recover/remove-old-runs.ts';
import { createHistoryStore } from '../../store/migrations/partitions.ts';
import { countGrownTables } from '../../store/migrations/table-statistics.ts';
import { createExpiryStore } from '../../store/recover/expired.ts';
import { createRetentionStore } from '../../store/recover/retention.ts';
import { createControlOperationStore } from '../../store/runs/control-operations.ts';
import { createPauseStore } from '../../store/runs/pause-runs.ts';
import { removeOldChunks } from '../../store/tasks/task-reports.ts';

const REMOVE_EVERY_MS = 10_000;
/** What a task streamed is kept that long after its end, for readers that are a moment behind. */
const CHUNKS_KEPT_SECONDS = 60;
const CHUNKS_REMOVED_AT_ONCE = 500;
const OPERATE_EVERY_MS = 1_000;
const COUNT_ROWS_EVERY_MS = 2_000;
const KEEP_HISTORY_EVERY_MS = 60_000;
/** It looks into each week that is over. */
const DROP_REMOVED_EVERY_MS = 600_000;
/** It reads samples of all tables of runs. */
const MEASURE_EVERY_MS = 15_000;
/** Of the reconciler. */
const ROUNDS_BETWEEN_CLEANING = 3;

interface MisplacedRemoval {
  removeMisplaced?(queues: readonly string[]): Promise<number>;
}

export interface MaintenanceParts {
  pool: pg.Pool;
  queue: CleanGatesDeps['queue'] & ClearEndedDeps['queue'] & PauseDeps['queue'] & MisplacedRemoval;
  runs: CleanGatesDeps['runs'] & ClearEndedDeps['runs'] & PauseDeps['runs'];
  plans: PauseDeps['plans'];
  lanes: readonly string[];
  cancelRun: CancelRuns['cancelRun'];
  failpoint: Failpoint;
  removed(runs: number): void;
  config: Config;
  log: Logger;
}

/** Each goes on until the signal aborts. */
export function maintenanceJobs(
  { pool, queue, runs, plans, lanes, cancelRun, failpoint, removed, config, log }: MaintenanceParts,
  signal: AbortSignal,
): Promise<void>[] {
  const { retentionDays, retentionBytes, reconcileSeconds } = config;
  const retention = createRetentionStore(pool);
  const removal = { retention, days: retentionDays, bytes: retentionBytes, removed, pause, log };
  const keepWithinBytes = createSizeRetention(removal);
  const expiry = { expiry: createExpiryStore(pool), pause, log };
  const history = { history: createHistoryStore(pool), retentionDays, now: Date.now, log };
  const operations = createControlOperations({
    operations: createControlOperationStore(pool),
    cancelRun,
    pause: createPauseRuns({ plans, runs, pauses: createPauseStore(pool), queue, failpoint, log }),
    newId: randomUUID,
    failpoint,
    log,
  });
  const clearEnded = createClearEnded({ queue, runs }, lanes);
  let gatesSeen = 0;
  const clean = async () => {
    const { next, removed: gates } = await cleanGates({ queue, runs }, gatesSeen);
    gatesSeen = next;
    if (gates > 0) log.warn('orphaned_gates_removed', { removed: gates });
    const { delayed, 'waiting-children': blocked } = await clearEnded();
    if (delayed > 0) log.warn('orphaned_sleepers_woken', { woken: delayed });
    if (blocked > 0) log.warn('orphaned_parents_removed', { removed: blocked });
    const misplaced = (await queue.removeMisplaced?.([...lanes, FINALIZER_QUEUE])) ?? 0;
    if (misplaced > 0) log.info('misplaced_jobs_removed', { removed: misplaced });
  };
  const oldChunks = () => removeOldChunks(pool, CHUNKS_KEPT_SECONDS, CHUNKS_REMOVED_AT_ONCE);
  return [
    // A workflow may say for how long its runs are kept, also where the setting keeps all others.
    repeatUntil({ signal, log }, REMOVE_EVERY_MS, 'remove_old_runs', () => removeOldRuns(removal, signal)),
    ...(retentionBytes > 0
      ? [repeatUntil({ signal, log }, MEASURE_EVERY_MS, 'keep_within_bytes', () => keepWithinBytes(signal))]
      : []),
    repeatUntil({ signal, log }, COUNT_ROWS_EVERY_MS, 'analyse_tables', () => countGrownTables(pool)),
    repeatUntil({ signal, log }, REMOVE_EVERY_MS, 'remove_expired', () => removeExpired(expiry, signal)),
    repeatUntil({ signal, log }, REMOVE_EVERY_MS, 'remove_old_chunks', oldChunks),
    repeatUntil({ signal, log }, OPERATE_EVERY_MS, 'carry_out_operations', () => operations.work(signal)),
    repeatUntil({ signal, log }, KEEP_HISTORY_EVERY_MS, 'keep_history', () => maintainPartitions(history)),
    repeatUntil({ signal, log }, DROP_REMOVED_EVERY_MS, 'drop_removed_weeks', () => dropRemovedWeeks(history)),
    repeatUntil({ signal, log }, ROUNDS_BETWEEN_CLEANING * reconcileSeconds * 1_000, 'clean_queue', clean),
  ];
}
