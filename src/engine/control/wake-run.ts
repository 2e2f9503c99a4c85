/** Wakes what sleeps in the queue for a run that is to end: waits, backoffs and delays. They are picked up and end. */
import { taskJobId } from '../../domain/graph/compile.ts';
import type { Plan } from '../../domain/graph/plan.ts';
import { taskOf } from '../../domain/runs/parts.ts';
import type { FlowQueue } from '../ports/queue.ts';
import type { RunStore } from '../ports/runs.ts';

export async function wakeRun(
  deps: { runs: Pick<RunStore, 'statuses'>; queue: Pick<FlowQueue, 'promote'> },
  plan: Plan,
  runId: string,
  epoch: number,
): Promise<void> {
  const { run, tasks } = await deps.runs.statuses(runId);
  const sleeping = plan.actions.filter(({ action }) => {
    const task = tasks.get(action.action_id);
    // After the end of the run the rows no longer show what their jobs were doing.
    if (run?.final === true)
      return action.delay_seconds !== undefined || task?.wakeAt != null || task?.status === 'cancelled';
    return task === undefined
      ? action.delay_seconds !== undefined
      : task.status === 'waiting' || task.status === 'retrying';
  });
  const parts = [...tasks.values()].filter(
    ({ parentId, released, final, status }) =>
      parentId !== null && released && (run?.final === true ? status === 'cancelled' : !final && status !== 'running'),
  );
  const woken = [...sleeping, ...parts.flatMap(({ actionId }) => taskOf(plan, actionId) ?? [])];
  await deps.queue.promote(
    woken.map(({ action }) => ({ queue: action.action_type, jobId: taskJobId(runId, epoch, action.action_id) })),
  );
}
