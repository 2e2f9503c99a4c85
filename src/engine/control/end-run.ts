/** Ends a run at once, as cancelled, of which nothing has started or nothing runs any more; then its parent is notified. */
import type { Plan } from '../../domain/graph/plan.ts';
import { type NotifyParentDeps, notifyParent } from '../children/child-ended.ts';
import type { RunStore } from '../ports/runs.ts';

export interface EndRunDeps extends NotifyParentDeps {
  runs: Pick<RunStore, 'endAbnormally'>;
}

/** False when it has ended otherwise, or goes on in another epoch. Jobs that exist find it final and are only acknowledged. */
export async function endRun(deps: EndRunDeps, run: { id: string; epoch: number }, plan: Plan): Promise<boolean> {
  const actions = plan.actions.map(({ action }) => ({ actionId: action.action_id, actionType: action.action_type }));
  const ended = await deps.runs.endAbnormally(run.id, run.epoch, 'cancelled', actions);
  if (ended) await notifyParent(deps, run.id);
  return ended;
}
