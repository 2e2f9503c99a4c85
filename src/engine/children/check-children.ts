/** The net under child runs: what a crash left out between the end of one run and the wake, or the end, of the other. */

import { WORKFLOW_ACTION } from '../../domain/definition/sub-workflows.ts';
import type { Plan } from '../../domain/graph/plan.ts';
import { type WakeDeps, wakeTasks } from '../deliver/wake-tasks.ts';
import type { ChildStore } from '../ports/children.ts';
import type { Lookup, RunRow } from '../ports/rows.ts';

export interface CheckChildrenDeps extends WakeDeps {
  children: Pick<ChildStore, 'tasksOfEnded'>;
}

/** Tasks of this run that sleep although what they wait for has ended. Queries only where there may be one. */
export async function checkChildren(
  deps: CheckChildrenDeps,
  run: RunRow,
  plan: Plan,
  { tasks }: Lookup,
): Promise<void> {
  if (!plan.actions.some(({ action }) => action.action_type === WORKFLOW_ACTION)) return;
  if (![...tasks.values()].some(({ status }) => status === 'waiting')) return;
  const asleep = await deps.children.tasksOfEnded(run.id);
  if (asleep.length === 0) return;
  await wakeTasks(
    deps,
    run,
    asleep.map((actionId) => ({ actionId, actionType: WORKFLOW_ACTION })),
  );
}
