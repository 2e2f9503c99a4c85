/**
 * How a worker keeps the stores in order in the background: it removes what is old, expired or left behind, and counts what
 * has grown. It holds nobody up, so it is done now and then.
 */
import { randomUUID } from 'node:crypto';
import type pg from 'pg';
import type { Config } from '../config.ts';
import { type CleanGatesDeps, cleanGates } from '../engine/clean-gates.ts';
import { type ClearEndedDeps, createClearEnded } from '../engine/clear-ended.ts';
import { createControlOperations } from '../engine/control-operations.ts';
import { type EraseDeps, eraseData } from '../engine/erase-data.ts';
import { countFailures } from '../engine/error-groups.ts';
import { dropRemovedWeeks, keepHistory } from '../engine/keep-history.ts';
import { createPauseRuns, type PauseDeps } from '../engine/pause-run.ts';
import type { Logger } from '../engine/ports.ts';
import { removeExpired } from '../engine/remove-expired.ts';
import { createKeepWithinBytes, removeOldRuns } from '../engine/remove-old-runs.ts';
import { pause, repeatUntil } from '../engine/sweep.ts';
import { createAuditStore } from '../store/audit.ts';
import { createControlOperationStore } from '../store/control-operations.ts';
import { createFailureCounter, removeOldGroups } from '../store/count-failures.ts';
import { createErasureSteps } from '../store/erasure.ts';
import { createExpiryStore } from '../store/expired.ts';
import { createGoneServices } from '../store/gone-services.ts';
import { createHistoryStore } from '../store/partitions.ts';
import { createPauseStore } from '../store/pause-runs.ts';
import { createRetentionStore } from '../store/retention.ts';
import { countGrownTables } from '../store/table-statistics.ts';
import { removeOldChunks } from '../store/task-reports.ts';

const REMOVE_EVERY_MS = 10_000;
/** What a task streamed is kept that long after its end, for readers that are a moment behind. */
const CHUNKS_KEPT_SECONDS = 60;
const CHUNKS_REMOVED_AT_ONCE = 500;
const ERASE_EVERY_MS = 2_000;
const OPERATE_EVERY_MS = 1_000;
const COUNT_ROWS_EVERY_MS = 2_000;
const COUNT_FAILURES_EVERY_MS = 1_000;
const GROUPS_REMOVED_AT_ONCE = 500;
const KEEP_HISTORY_EVERY_MS = 60_000;
/** It looks into each week that is over. */
const DROP_REMOVED_EVERY_MS = 600_000;
/** It reads samples of all tables of runs. */
const MEASURE_EVERY_MS = 15_000;
/** Of each chain. */
const AUDIT_REMOVED_AT_ONCE = 1_000;
/** Of the reconciler. */
const ROUNDS_BETWEEN_CLEANING = 3;

export interface JanitorParts {
  pool: pg.Pool;
  queue: CleanGatesDeps['queue'] & ClearEndedDeps['queue'] & EraseDeps['queue'] & PauseDeps['queue'];
  runs: CleanGatesDeps['runs'] & ClearEndedDeps['runs'] & PauseDeps['runs'];
  plans: PauseDeps['plans'];
  lanes: readonly string[];
  cancelRun: EraseDeps['cancelRun'];
  failpoint: EraseDeps['failpoint'];
  removed(runs: number): void;
  config: Config;
  log: Logger;
}

/** Each goes on until the signal aborts. */
export function keepClean(
  { pool, queue, runs, plans, lanes, cancelRun, failpoint, removed, config, log }: JanitorParts,
  signal: AbortSignal,
): Promise<void>[] {
  const { retentionDays, retentionBytes, auditRetentionDays, reconcileSeconds, peers } = config;
  const audit = createAuditStore(pool);
  const retention = createRetentionStore(pool);
  const removal = { retention, days: retentionDays, bytes: retentionBytes, removed, pause, log };
  const keepWithinBytes = createKeepWithinBytes(removal);
  const expiry = { expiry: createExpiryStore(pool), pause, log };
  const gone = { ...expiry, expiry: createGoneServices(pool, { peers, configured: Object.keys(config.services) }) };
  const history = { history: createHistoryStore(pool), retentionDays, now: Date.now, log };
  const erasing = { steps: createErasureSteps(pool), cancelRun, queue, failpoint, pause, log };
  const operations = createControlOperations({
    operations: createControlOperationStore(pool),
    cancelRun,
    pause: createPauseRuns({ plans, runs, pauses: createPauseStore(pool), queue, failpoint, log }),
    newId: randomUUID,
    failpoint,
    log,
  });
  const counting = { failures: createFailureCounter(pool), log };
  const oldGroups = () => removeOldGroups(pool, retentionDays, GROUPS_REMOVED_AT_ONCE);
  const clearEnded = createClearEnded({ queue, runs }, lanes);
  let gatesSeen = 0;
  const clean = async () => {
    const { next, removed: gates } = await cleanGates({ queue, runs }, gatesSeen);
    gatesSeen = next;
    if (gates > 0) log.warn('orphaned_gates_removed', { removed: gates });
    const { delayed, 'waiting-children': blocked } = await clearEnded();
    if (delayed > 0) log.warn('orphaned_sleepers_woken', { woken: delayed });
    if (blocked > 0) log.warn('orphaned_parents_removed', { removed: blocked });
  };
  const oldChunks = () => removeOldChunks(pool, CHUNKS_KEPT_SECONDS, CHUNKS_REMOVED_AT_ONCE);
  return [
    // A workflow may say for how long its runs are kept, also where the setting keeps all others.
    repeatUntil(signal, REMOVE_EVERY_MS, 'remove_old_runs', () => removeOldRuns(removal, signal), log),
    ...(retentionBytes > 0
      ? [repeatUntil(signal, MEASURE_EVERY_MS, 'keep_within_bytes', () => keepWithinBytes(signal), log)]
      : []),
    ...(retentionDays > 0 ? [repeatUntil(signal, KEEP_HISTORY_EVERY_MS, 'remove_old_groups', oldGroups, log)] : []),
    repeatUntil(signal, COUNT_ROWS_EVERY_MS, 'analyse_tables', () => countGrownTables(pool), log),
    repeatUntil(signal, COUNT_FAILURES_EVERY_MS, 'count_failures', () => countFailures(counting, signal), log),
    repeatUntil(signal, REMOVE_EVERY_MS, 'remove_expired', () => removeExpired(expiry, signal), log),
    repeatUntil(signal, REMOVE_EVERY_MS, 'remove_gone_services', () => removeExpired(gone, signal), log),
    repeatUntil(signal, REMOVE_EVERY_MS, 'remove_old_chunks', oldChunks, log),
    repeatUntil(signal, OPERATE_EVERY_MS, 'carry_out_operations', () => operations.work(signal), log),
    repeatUntil(signal, ERASE_EVERY_MS, 'erase_data', () => eraseData(erasing, signal), log),
    repeatUntil(signal, KEEP_HISTORY_EVERY_MS, 'keep_history', () => keepHistory(history), log),
    repeatUntil(signal, DROP_REMOVED_EVERY_MS, 'drop_removed_weeks', () => dropRemovedWeeks(history), log),
    repeatUntil(
      signal,
      KEEP_HISTORY_EVERY_MS,
      'prune_audit',
      () => audit.prune(auditRetentionDays, AUDIT_REMOVED_AT_ONCE),
      log,
    ),
    repeatUntil(signal, ROUNDS_BETWEEN_CLEANING * reconcileSeconds * 1_000, 'clean_queue', clean, log),
  ];
}
