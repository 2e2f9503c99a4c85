/**
 * The items of a fan-out (`for_each`) and the iterations of a loop (`repeat`), both called items here. An item is a task of its
 * own, with a row, attempts and retries; the action itself is the parent task, which writes its items down, waits for them and
 * judges them. The id of an item is that of its action and its position, `fetch[3]`: no action can be called so.
 */
import type { Action } from '../definition/definition.ts';
import type { Plan, PlannedAction } from '../graph/plan.ts';
import { compensationOf } from './saga.ts';

export interface ItemRef {
  actionId: string;
  position: number;
}

/** The names that only templates of items and of iterations can use. */
const ITEM_NAMES: ReadonlySet<string> = new Set(['item', 'item_index']);
const ITERATION_NAMES: ReadonlySet<string> = new Set(['iteration', 'previous']);

const ITEM = /^(?<actionId>.+)\[(?<position>0|[1-9]\d{0,8})\]$/u;

export function itemId(actionId: string, position: number): string {
  return `${actionId}[${position}]`;
}

export function readItemId(taskId: string): ItemRef | undefined {
  const found = ITEM.exec(taskId)?.groups;
  if (found === undefined) return undefined;
  return { actionId: found['actionId'] ?? '', position: Number(found['position']) };
}

export function hasItems(action: Action): boolean {
  return action.for_each !== undefined || action.repeat !== undefined;
}

export function localNames(action: Action): ReadonlySet<string> | undefined {
  if (action.for_each !== undefined) return ITEM_NAMES;
  return action.repeat === undefined ? undefined : ITERATION_NAMES;
}

/** The planned action that a task is: one of the plan, an item of one, or its compensation. */
export function taskOf(plan: Plan, taskId: string): PlannedAction | undefined {
  const planned = plan.byId.get(taskId);
  if (planned !== undefined) return planned;
  const compensation = compensationOf(plan, taskId);
  if (compensation !== undefined) return compensation;
  const ref = readItemId(taskId);
  const parent = ref === undefined ? undefined : plan.byId.get(ref.actionId);
  return ref === undefined || parent === undefined || !hasItems(parent.action)
    ? undefined
    : itemOf(parent, ref.position);
}

/** An item ends nothing but itself: it has no gates and is nobody's dependency, and its failure is its action's to judge. */
export function itemOf(parent: PlannedAction, position: number): PlannedAction {
  const { for_each: _, repeat: __, when: ___, delay_seconds: ____, compensate: _____, ...action } = parent.action;
  return {
    ...parent,
    index: -1,
    action: { ...action, action_id: itemId(action.action_id, position), on_failure: 'continue' },
    dependents: [],
    children: [],
    gatedBy: [],
    gates: [],
    item: { of: parent, position },
  };
}
