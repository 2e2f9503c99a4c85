/**
 * Sagas: what has to be compensated when a run fails or is cancelled, and in which order. Each action that completed and
 * has a `compensate` gets a task of its own for that, `<action_id>~undo`, after those of all actions that came after it.
 */
import type { Plan, PlannedAction } from '../graph/plan.ts';

/** The parent task of the compensations of a run. No action can be called so. */
export const SAGA = '~saga';
export const COMPENSATION_SUFFIX = '~undo';

export function compensationId(actionId: string): string {
  return `${actionId}${COMPENSATION_SUFFIX}`;
}

/** The id of the action that a task compensates. */
export function compensatedBy(taskId: string): string {
  return taskId.slice(0, -COMPENSATION_SUFFIX.length);
}

/** The planned action of a compensation, by its id. */
export function compensationOf(plan: Plan, taskId: string): PlannedAction | undefined {
  if (!taskId.endsWith(COMPENSATION_SUFFIX)) return undefined;
  const done = plan.byId.get(compensatedBy(taskId));
  const compensate = done?.action.compensate;
  if (done === undefined || compensate === undefined) return undefined;
  return {
    index: -1,
    action: {
      action_id: taskId,
      ...compensate,
      depends_on: [done.action.action_id],
      run_if: 'all_done',
      // The other compensations do not depend on it; the run says that it failed, and it is a dead letter.
      on_failure: 'fail',
      ...(done.action.priority === undefined ? {} : { priority: done.action.priority }),
    },
    dependsOn: [done.index],
    dependents: [],
    children: [],
    gatedBy: [],
    gates: [],
    segment: done.segment,
    depth: done.depth,
    compensates: done,
  };
}

/** What is known of the effect of a task that has a compensation. */
export interface KnownEffect {
  status: string;
  /** It was executed, and nobody knows how that ended. */
  effectUnknown: boolean;
}

/** The actions that have to be compensated, the last ones first: what has happened, and what may have. */
export function actionsToCompensate(
  plan: Plan,
  effectOf: (actionId: string) => KnownEffect | undefined,
): PlannedAction[] {
  const compensated = plan.actions.filter(({ action }) => {
    if (action.compensate === undefined) return false;
    const effect = effectOf(action.action_id);
    return effect !== undefined && (effect.status === 'completed' || effect.effectUnknown);
  });
  return compensated.reverse();
}

/** Ends of an attempt that say nothing of what it has brought about: it took too long, or its answer cannot be stored. */
const UNKNOWN_EFFECTS: ReadonlySet<string> = new Set([
  'timeout',
  'heartbeat_timeout',
  'worker_crashed',
  'output_too_large',
  'output_not_storable',
]);

export function isEffectUnknown(failure: { code: string; effectUnknown?: boolean | undefined }): boolean {
  return failure.effectUnknown ?? UNKNOWN_EFFECTS.has(failure.code);
}

/** What a compensation knows of its action, in its templates (`{{compensates.idempotency_key}}`) and its adapter. */
export interface Compensates {
  action_id: string;
  /** That of the action, as its adapter sent it to services. */
  idempotency_key: string;
  effect: 'completed' | 'unknown';
}
export const COMPENSATES = 'compensates';
export const COMPENSATION_NAMES: ReadonlySet<string> = new Set([COMPENSATES]);

/** Of what has to be compensated, what may be now: everything that came after it, over however many steps, is. */
export function readyToCompensate(
  plan: Plan,
  compensated: readonly PlannedAction[],
  isOver: (actionId: string) => boolean,
): PlannedAction[] {
  const waits = new Set<number>();
  // Dependents come before what they depend on.
  const after = new Map(compensated.map((planned) => [planned.index, planned]));
  for (const { index, action, dependents } of [...plan.actions].reverse()) {
    const isOpen = after.has(index) && !isOver(action.action_id);
    if (isOpen || dependents.some((dependent) => waits.has(dependent))) waits.add(index);
  }
  return compensated.filter(
    ({ action, dependents }) => !isOver(action.action_id) && !dependents.some((dependent) => waits.has(dependent)),
  );
}
