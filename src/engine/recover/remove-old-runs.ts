/**
 * Retention: runs that ended long ago go, with everything that is stored of them, and their idempotency keys with them. In
 * small batches, each a short transaction, with a breath in between, so that nobody waits for it.
 */
import { oldestToRemove, type RetainedRuns } from '../../domain/retention.ts';
import type { Logger } from '../ports/logger.ts';

/** Which ended runs may go. */
export type Due =
  /** Those whose workflow says how many days they are retained. */
  | { by: 'own_days' }
  /** The others, so many days after their end. Their attempts and events go with their week, unless they have to go at once. */
  | { by: 'setting'; days: number; history: 'with_week' | 'at_once' }
  /** All that had ended by then. */
  | { by: 'end'; endedBy: Date };

export interface RetentionStore {
  /** Removes at most `limit` runs, the oldest first; undefined when another process is at it. */
  removeBatch(due: Due, limit: number): Promise<number | undefined>;
  /**
   * What is stored of runs, without indexes and free space, from samples of large tables; undefined when another process is
   * at it. Where all of it, free space included, is no more than `enough`, that is the answer, and nothing is read.
   */
  measure(enough: number): Promise<RetainedRuns | undefined>;
  /** When the last of the `count` oldest that may be removed had ended; undefined: none may. */
  endOfOldest(count: number): Promise<Date | undefined>;
}

export interface RetentionDeps {
  retention: RetentionStore;
  /** Of runs whose workflow does not say; 0: they are never removed. */
  days: number;
  /** 0: what is stored may grow. */
  bytes: number;
  removed?(runs: number): void;
  pause(milliseconds: number, signal: AbortSignal): Promise<void>;
  log: Logger;
}

const RUNS_PER_BATCH = 100;
const BREATH_MS = 50;

/** Removes all whose days are over; resolves to how many runs that were. */
export async function removeOldRuns(deps: RetentionDeps, signal: AbortSignal): Promise<number> {
  const { days, bytes } = deps;
  const own = await removeAll(deps, { by: 'own_days' }, signal);
  // What is left of removed runs would take space for nothing.
  const history = bytes > 0 ? 'at_once' : 'with_week';
  const others = days > 0 ? await removeAll(deps, { by: 'setting', days, history }, signal) : 0;
  const runs = own + others;
  if (runs > 0) deps.log.info('old_runs_removed', { runs, by_own_days: own, older_than_days: days });
  return runs;
}

/** A pass that removes the oldest ended runs, whatever their days, until what is stored takes no more than it may. */
export function createSizeRetention(deps: RetentionDeps): (signal: AbortSignal) => Promise<number> {
  const { retention, bytes: limit, log } = deps;
  let isExceeded = false;
  return async (signal) => {
    if (limit === 0) return 0;
    let runs = 0;
    while (!signal.aborted) {
      const stored = await retention.measure(limit);
      if (stored === undefined) break;
      const count = oldestToRemove(stored, limit);
      // By a time, not by a number: another process that has measured the same removes the same, and not as many again.
      const endedBy = count === 0 ? undefined : await retention.endOfOldest(count);
      const wasExceeded = isExceeded;
      isExceeded = count > 0 && endedBy === undefined;
      if (isExceeded && !wasExceeded)
        log.warn('retention_bytes_exceeded', { bytes: Math.round(stored.bytes), limit_bytes: limit });
      if (endedBy === undefined) break;
      const removed = await removeAll(deps, { by: 'end', endedBy }, signal);
      if (removed === 0) break;
      runs += removed;
    }
    if (runs > 0) log.info('oldest_runs_removed', { runs, limit_bytes: limit });
    return runs;
  };
}

async function removeAll(deps: RetentionDeps, due: Due, signal: AbortSignal): Promise<number> {
  let total = 0;
  while (!signal.aborted) {
    const removed = await deps.retention.removeBatch(due, RUNS_PER_BATCH);
    if (removed === undefined || removed === 0) break;
    total += removed;
    deps.removed?.(removed);
    await deps.pause(BREATH_MS, signal);
  }
  return total;
}
