/** Cancellation travels down: a task that waits for another run ends after it. */

import { WORKFLOW_ACTION } from '../../domain/definition/sub-workflows.ts';
import { OrchestratorError } from '../../domain/errors.ts';
import type { ChildStore } from '../ports/children.ts';
import type { RunRow } from '../ports/rows.ts';
import type { CancelRuns } from '../ports/use-cases.ts';

export interface AwaitChildrenDeps {
  children: Pick<ChildStore, 'openOf'>;
  cancelRun: CancelRuns['cancelRun'];
}

/** True while a run that this task of a cancelled run waits for has not ended; it is cancelled, if it was not before. */
export async function awaitsChildren(
  deps: AwaitChildrenDeps,
  run: RunRow,
  task: { action_id: string; action_type: string },
): Promise<boolean> {
  if (task.action_type !== WORKFLOW_ACTION) return false;
  const open = await deps.children.openOf(run.id, task.action_id);
  for (const id of open) {
    await cancelQuietly(deps.cancelRun, run, id, `the execution ${run.id} that waits for it is being cancelled`);
  }
  return open.length > 0;
}

/** That it has ended in the meantime is as good. */
export async function cancelQuietly(
  cancelRun: CancelRuns['cancelRun'],
  { tenantId, userId }: Pick<RunRow, 'tenantId' | 'userId'>,
  id: string,
  reason: string | undefined,
): Promise<void> {
  try {
    await cancelRun({ tenantId, userId, correlationId: undefined, traceId: '' }, id, reason);
  } catch (error) {
    if (!(error instanceof OrchestratorError) || (error.code !== 'already_final' && error.code !== 'not_found'))
      throw error;
  }
}
