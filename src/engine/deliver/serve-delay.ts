/**
 * What a task has to wait for before an attempt. A long `delay_seconds` (of an action, or between the iterations of a loop) is a
 * sleep of the task before its first attempt: from when everything that it waits for was final. A short one is the queue's (see
 * `queuedDelayMs`), and so is a backoff, unless the queue has lost it.
 */
import { queuedDelayMs } from '../../domain/graph/compile.ts';
import type { PlannedAction } from '../../domain/graph/plan.ts';
import type { Disposition } from '../ports/queue.ts';
import type { TaskRow } from '../ports/rows.ts';
import type { Attempt } from './attempt.ts';
import { waitingOutcome } from './outcome.ts';
import { type SettleDeps, settle, wasWoken } from './settle-task.ts';
import { WAKE_TO_COME } from './wake-tasks.ts';

/** Undefined: it has none, or it is over. */
export async function serveDelay(deps: SettleDeps, attempt: Attempt): Promise<Disposition | undefined> {
  const own = attempt.found.tasks.get(attempt.planned.action.action_id);
  const seconds = delayOf(attempt.planned);
  if (seconds === undefined || queuedDelayMs(seconds) > 0 || hasStarted(own)) return undefined;
  const now = deps.now();
  let readyMs = 0;
  for (const { finishedMs } of attempt.found.tasks.values()) readyMs = Math.max(readyMs, finishedMs ?? 0);
  const untilMs = (readyMs === 0 ? now : readyMs) + seconds * 1000;
  if (untilMs <= now) return undefined;
  const outcome = waitingOutcome(deps, attempt, { wakeAt: null, notBefore: new Date(untilMs) });
  return settle(deps, attempt, outcome, { job: 'delay', untilMs, dueAlready: () => wasWoken(deps, outcome) });
}

/**
 * A worker that lost the lock of its job has not put it back for the retry: the queue delivers it again at once. Undefined: there is
 * no backoff, or it is over.
 */
export async function serveBackoff(deps: SettleDeps, attempt: Attempt): Promise<Disposition | undefined> {
  const own = attempt.found.tasks.get(attempt.planned.action.action_id);
  if (own?.status !== 'retrying' || attempt.delivery.stalledCounter === 0 || own.wakes > own.wakesSeen)
    return undefined;
  const untilMs = own.notBefore?.getTime() ?? 0;
  if (untilMs <= deps.now()) return undefined;
  const outcome = waitingOutcome(deps, attempt, { wakeAt: null, notBefore: new Date(untilMs) });
  return settle(deps, attempt, outcome, { job: 'delay', untilMs, dueAlready: () => wasWoken(deps, outcome) });
}

function delayOf({ action, item }: PlannedAction): number | undefined {
  if (item === undefined) return action.delay_seconds;
  return item.position === 0 ? undefined : item.of.action.repeat?.delay_seconds;
}

/** It has slept already, or an attempt of it has ended. One that was only claimed, or deferred by a pause, has not. */
function hasStarted(own: TaskRow | undefined): boolean {
  if (own === undefined) return false;
  const hasSlept = own.status === 'waiting' && own.wakesSeen !== WAKE_TO_COME;
  return own.endedAttempt > 0 || hasSlept || own.notBefore != null;
}
