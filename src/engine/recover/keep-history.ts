/** Maintains the partitions of the history: makes weeks to come in time, and drops weeks whose runs were removed. */
import type { Logger } from '../ports/logger.ts';

export interface HistoryStore {
  /** The names of the partitions that were made now. */
  makeWeeks(nowMs: number): Promise<string[]>;
  /** Drops the weeks whose runs were all accepted before that time, once nearly none is left; the names. */
  dropWeeks(olderThanMs: number): Promise<string[]>;
  /** Drops the weeks that were over by that time and have become empty, or nearly; the names. */
  dropRemovedWeeks(overMs: number): Promise<string[]>;
}

export interface HistoryDeps {
  history: HistoryStore;
  /** 0: nothing is removed. */
  retentionDays: number;
  now(): number;
  log: Logger;
}

const DAY_MS = 24 * 3600 * 1000;

export async function maintainPartitions({ history, retentionDays, now, log }: HistoryDeps): Promise<void> {
  const made = await history.makeWeeks(now());
  if (made.length > 0) log.info('history_weeks_made', { partitions: made });
  if (retentionDays === 0) return;
  const dropped = await history.dropWeeks(now() - retentionDays * DAY_MS);
  if (dropped.length > 0) log.info('history_weeks_dropped', { partitions: dropped });
}

/** Runs are removed before the days of the setting are over where their workflow or RETENTION_BYTES says so. */
export async function dropRemovedWeeks({ history, now, log }: Omit<HistoryDeps, 'retentionDays'>): Promise<void> {
  const dropped = await history.dropRemovedWeeks(now());
  if (dropped.length > 0) log.info('history_weeks_dropped', { partitions: dropped });
}
