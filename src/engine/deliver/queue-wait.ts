/** How long a task waited for a worker, for metrics: from when it could have been taken until its first delivery. */
import type { Delivery } from '../ports/queue.ts';
import type { TaskRow } from '../ports/rows.ts';

/** Undefined for any delivery but the first: what came between is not known. `nowMs`: of the database's clock. */
export function queueWaitMs(
  { attemptsStarted, added }: Delivery,
  own: TaskRow | undefined,
  dependencies: Iterable<TaskRow | undefined>,
  nowMs: number,
): number | undefined {
  if (added === undefined || attemptsStarted !== 1) return undefined;
  // A row that has only been stored, or woken, before its start.
  if (own !== undefined && own.status !== 'pending') return undefined;
  let readyMs = added.atMs;
  for (const row of dependencies) readyMs = Math.max(readyMs, row?.finishedMs ?? 0);
  return Math.max(0, nowMs - readyMs - added.delayMs);
}
