/** What a manual retry or a rerun does again. Pure: the plan and the final states of its actions decide. */

import type { Action } from '../definition/definition.ts';
import { actionAt } from '../graph/compile.ts';
import type { Plan } from '../graph/plan.ts';
import { NEVER_RUN_TASKS, STANDING_TASKS } from './run-states.ts';

const STANDING: ReadonlySet<string | undefined> = new Set(STANDING_TASKS);
const NEVER_RUN: ReadonlySet<string> = new Set(NEVER_RUN_TASKS);

/**
 * Every action that did not complete and every descendant of one, in the order of the plan. An action that was skipped
 * while nothing above it is done again stays skipped: the same states would decide the same again. `from` (a rerun) is done
 * again with its descendants whatever became of it.
 */
export function toReopen(
  plan: Plan,
  statusOf: (actionId: string) => string | undefined,
  from?: string | undefined,
): string[] {
  const reopened = new Set<number>();
  for (const { index, action, dependsOn } of plan.actions) {
    const status = statusOf(action.action_id);
    const stands = STANDING.has(status) && action.action_id !== from;
    // Dependencies come first in the plan.
    if (!stands || dependsOn.some((dependency) => reopened.has(dependency))) reopened.add(index);
  }
  return [...reopened].map((index) => actionAt(plan, index).action.action_id);
}

/** An action that is to be done again, with what it was before. */
export interface ReopenedAction {
  action_id: string;
  action_type: string;
  status: string;
  /** It may have acted outside already, and would once more. */
  acts_again: boolean;
}

/** Says of each action that is reopened what doing it again means. `isIdempotent`: of an action type. */
export function describeReopened(
  plan: Plan,
  actionIds: readonly string[],
  taskOf: (actionId: string) => { status: string; started?: boolean | undefined } | undefined,
  isIdempotent: (actionType: string) => boolean,
): ReopenedAction[] {
  return actionIds.flatMap((actionId) => {
    const action = plan.byId.get(actionId)?.action;
    if (action === undefined) return [];
    const task = taskOf(actionId);
    const acts = mayHaveActed(task) && !canRepeat(action, isIdempotent);
    return [
      { action_id: actionId, action_type: action.action_type, status: task?.status ?? 'pending', acts_again: acts },
    ];
  });
}

/** What the action says of itself counts before what its type says. */
export function canRepeat(action: Action, isIdempotent: (actionType: string) => boolean): boolean {
  return action.idempotent ?? isIdempotent(action.action_type);
}

/** Its adapter may have been called: unknown counts as started. What was skipped, or never started, has done nothing. */
function mayHaveActed(task: { status: string; started?: boolean | undefined } | undefined): boolean {
  if (task === undefined || task.started === false) return false;
  return task.status !== 'pending' && !NEVER_RUN.has(task.status);
}

/**
 * Of what is reopened: what stands below something else that is. Its list or its input may have changed, so its items
 * that completed are run again; all others keep theirs.
 */
export function toRestart(plan: Plan, reopened: readonly string[]): string[] {
  const all = new Set(reopened);
  const isReopened = (index: number) => all.has(actionAt(plan, index).action.action_id);
  return reopened.filter((id) => plan.byId.get(id)?.dependsOn.some(isReopened));
}
