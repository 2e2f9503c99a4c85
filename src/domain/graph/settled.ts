/**
 * Which actions are final with nothing left to do. An action that was completed manually may be final while what
 * it depends on is still under way: its job then still holds back its dependents, as it waits for those above it itself.
 */
import type { Plan } from './plan.ts';

/** The actions that are final with everything above them, by their index. */
export function settledActions(plan: Plan, isFinal: (actionId: string) => boolean): Set<number> {
  const settled = new Set<number>();
  // Dependencies come first in the plan.
  for (const { index, action, dependsOn } of plan.actions) {
    if (isFinal(action.action_id) && dependsOn.every((dependency) => settled.has(dependency))) settled.add(index);
  }
  return settled;
}
