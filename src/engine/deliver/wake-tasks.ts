/**
 * Wakes tasks that wait for something outside (`park`): an approval, a signal, the end of a child run. Whatever brings it
 * about is committed before. The wake is counted, and then the job is made due, so it does not matter at which step the
 * task is: not started, about to be moved, or asleep. A process that dies in between leaves a wake that the reconciler finds.
 */
import { taskJobId } from '../../domain/graph/compile.ts';
import type { Plan } from '../../domain/graph/plan.ts';
import { taskOf } from '../../domain/runs/parts.ts';
import { errorMessage } from '../../domain/texts/error-message.ts';
import type { Logger } from '../ports/logger.ts';
import type { FlowQueue } from '../ports/queue.ts';
import type { Lookup } from '../ports/rows.ts';
import type { TaskStore } from '../ports/tasks.ts';

export interface WakeDeps {
  tasks: Pick<TaskStore, 'wake'>;
  queue: Pick<FlowQueue, 'promote'>;
  log: Logger;
}

export async function wakeTasks(
  deps: WakeDeps,
  run: { id: string; epoch: number },
  woken: ReadonlyArray<{ actionId: string; actionType: string }>,
): Promise<void> {
  await deps.tasks.wake(run.id, woken);
  const jobs = woken.map(({ actionId, actionType }) => ({
    queue: actionType,
    jobId: taskJobId(run.id, run.epoch, actionId),
  }));
  await makeDue(deps, run.id, jobs);
}

/** For wakes that are counted: the reconciler makes the jobs due once the queue can be reached, when it cannot be now. */
export async function makeDue(
  deps: Pick<WakeDeps, 'queue' | 'log'>,
  runId: string,
  jobs: ReadonlyArray<{ queue: string; jobId: string }>,
): Promise<void> {
  try {
    await deps.queue.promote(jobs);
  } catch (error) {
    const reason = errorMessage(error);
    deps.log.warn('tasks_not_promoted', { run_id: runId, tasks: jobs.length, error: reason });
  }
}

/** More than what it takes a job that is due to be taken. */
const OVERDUE_MS = 5_000;

/** Wakes seen by a task that has one to come, however often it was woken. */
export const WAKE_TO_COME = -1;

/**
 * Makes due what has a wake to come: whoever woke them, or they themselves, died between two steps. What is final was
 * settled manually, and its job is only to be acknowledged. Jobs that are not asleep are left alone. What has slept for
 * longer than it was to is due as well: the clock that it went by was set in the meantime.
 */
export async function promoteWoken(
  deps: {
    queue: Pick<FlowQueue, 'promote'>;
    /** Left out: what has slept for too long is left to the reconciler. */
    now?(): number;
  },
  run: { id: string; epoch: number },
  plan: Plan,
  { tasks }: Lookup,
): Promise<void> {
  const overdue = (deps.now?.() ?? Number.NEGATIVE_INFINITY) - OVERDUE_MS;
  const woken = [...tasks.values()].filter(
    ({ status, final, wakes, wakesSeen, wakeAt }) =>
      ((status === 'waiting' || final) && wakes > wakesSeen) ||
      (status === 'waiting' && wakeAt !== null && wakeAt.getTime() < overdue),
  );
  await deps.queue.promote(
    woken.flatMap(({ actionId }) => {
      const planned = taskOf(plan, actionId);
      if (planned === undefined) return [];
      return [{ queue: planned.action.action_type, jobId: taskJobId(run.id, run.epoch, actionId) }];
    }),
  );
}
