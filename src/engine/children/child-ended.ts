/**
 * Wakes the task of another run that waits for a run, when that run has ended; the task then reads its result. Whoever ended
 * the run does it after the commit; what a crash leaves out is made up for by the acknowledgement of the redelivered job,
 * and by the reconciler when it checks the run of the task.
 */
import { WORKFLOW_ACTION } from '../../domain/definition/sub-workflows.ts';
import { type WakeDeps, wakeTasks } from '../deliver/wake-tasks.ts';
import type { ChildStore } from '../ports/children.ts';
import type { Failpoint } from '../ports/failpoint.ts';
import type { RunRow } from '../ports/rows.ts';

export interface NotifyParentDeps extends WakeDeps {
  children: Pick<ChildStore, 'parentOf'>;
  failpoint: Failpoint;
}

/** Costs a run that nobody waits for nothing. */
export async function childEnded(deps: NotifyParentDeps, run: Pick<RunRow, 'id' | 'awaited'>): Promise<void> {
  if (run.awaited === true) await notifyParent(deps, run.id);
}

/** Wakes the task that waits for the run, if there is one. */
export async function notifyParent(deps: NotifyParentDeps, runId: string): Promise<void> {
  await deps.failpoint('child.beforeWake');
  const parent = await deps.children.parentOf(runId);
  if (parent === undefined) return;
  const { actionId } = parent;
  await wakeTasks(deps, { id: parent.runId, epoch: parent.epoch }, [{ actionId, actionType: WORKFLOW_ACTION }]);
}
