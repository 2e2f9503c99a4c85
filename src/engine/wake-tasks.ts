/**
 * Wakes tasks that wait for something outside (`park`): an approval, a signal, the end of a child run. Whatever brings it
 * about is committed before. The wake is counted, and then the job is made due, so it does not matter at which step the
 * task is: not begun, about to be moved, or asleep. A process that dies in between leaves a wake that the reconciler finds.
 */
import { taskJobId } from '../domain/compile.ts';
import type { FlowQueue, Logger, TaskStore } from './ports.ts';

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
  try {
    await deps.queue.promote(
      woken.map(({ actionId, actionType }) => ({ queue: actionType, jobId: taskJobId(run.id, run.epoch, actionId) })),
    );
  } catch (error) {
    // The wake is counted: the reconciler makes the job due once the queue can be reached.
    const reason = error instanceof Error ? error.message : String(error);
    deps.log.warn('tasks_not_promoted', { run_id: run.id, tasks: woken.length, error: reason });
  }
}
