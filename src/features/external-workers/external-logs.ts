/**
 * What workers outside log. It comes with a heartbeat or an answer, and is written once that was accepted: a lease that is
 * over writes nothing. A database that does not take the lines loses them and not the answer, which is stored already.
 */

import { errorMessage } from '../../domain/texts/error-message.ts';
import { lineTexts, type TaskLogStore } from '../../engine/deliver/task-logs.ts';
import type { Logger, LogLevel } from '../../engine/ports/logger.ts';
import type { LoggedAttempt } from './ports.ts';

export interface SaidLine {
  level: LogLevel;
  message: string;
  /** By the worker's clock. */
  at?: Date | undefined;
  data?: object | undefined;
}

export type ExternalLogs = (tenantId: string, attempt: LoggedAttempt, lines: readonly SaidLine[]) => Promise<void>;

export function createExternalLogs(deps: {
  store: TaskLogStore;
  /** Takes away what is secret of the installation. */
  mask(text: string): string;
  log: Logger;
}): ExternalLogs {
  return async (tenantId, { since, now, ...task }, lines) => {
    if (lines.length === 0) return;
    const { runId, actionId, epoch, attempt } = task;
    const rows = lines.map(({ level, message, at, data }) => ({
      ...{ tenantId, runId, actionId, epoch, attempt, level },
      ...lineTexts(message, data, deps.mask),
      atMs: timeOf(at, since, now),
    }));
    try {
      await deps.store.write(rows, new Map());
    } catch (error) {
      const reason = errorMessage(error);
      deps.log.warn('task_logs_not_written', { run_id: runId, count: rows.length, error: reason });
    }
  };
}

/** Its clock may be wrong: nothing was logged before the attempt was there, or is logged later. */
export function timeOf(said: Date | undefined, since: Date, now: Date): number {
  const latest = now.getTime();
  return said === undefined ? latest : Math.min(latest, Math.max(since.getTime(), said.getTime()));
}
