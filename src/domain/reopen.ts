/** What a retry by hand does again. Pure: the plan and the final states of its actions decide. */
import { actionAt } from './compile.ts';
import type { Plan } from './plan.ts';

/**
 * Every action that did not complete and every descendant of one, in the order of the plan. An action that was skipped
 * while everything above it is kept stays skipped: the same states would decide the same again.
 */
export function toReopen(plan: Plan, statusOf: (actionId: string) => string | undefined): string[] {
  const reopened = new Set<number>();
  for (const { index, action, dependsOn } of plan.actions) {
    const status = statusOf(action.action_id);
    const stands = status === 'completed' || status === 'skipped';
    // Dependencies come first in the plan.
    if (!stands || dependsOn.some((dependency) => reopened.has(dependency))) reopened.add(index);
  }
  return [...reopened].map((index) => actionAt(plan, index).action.action_id);
}
