/**
 * Retention: runs that ended long ago go, with everything that is kept of them, and their idempotency keys with them. In
 * small batches, each a short transaction, with a breath in between, so that nobody waits for it.
 */
import type { Logger } from './ports.ts';

export interface RetentionStore {
  /** Removes at most `limit` runs that ended before that many days; undefined when another process is at it. */
  removeBatch(olderThanDays: number, limit: number): Promise<number | undefined>;
}

export interface RetentionDeps {
  retention: RetentionStore;
  /** 0: nothing is removed. */
  days: number;
  removed?(runs: number): void;
  pause(milliseconds: number, signal: AbortSignal): Promise<void>;
  log: Logger;
}

const RUNS_PER_BATCH = 100;
const BREATH_MS = 50;

/** Removes all that is due; resolves to how many runs that were. */
export async function removeOldRuns(deps: RetentionDeps, signal: AbortSignal): Promise<number> {
  if (deps.days === 0) return 0;
  let total = 0;
  while (!signal.aborted) {
    const removed = await deps.retention.removeBatch(deps.days, RUNS_PER_BATCH);
    if (removed === undefined || removed === 0) break;
    total += removed;
    deps.removed?.(removed);
    await deps.pause(BREATH_MS, signal);
  }
  if (total > 0) deps.log.info('old_runs_removed', { runs: total, older_than_days: deps.days });
  return total;
}
