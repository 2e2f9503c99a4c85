/**
 * Whether a run sleeps: nothing of it runs, and everything that could go on next waits for a person, a message, a time or
 * another run. Decided from committed rows alone, so a task without a row may always be about to start.
 */

import { WORKFLOW_ACTION } from '../definition/sub-workflows.ts';
import type { Plan } from '../graph/plan.ts';
import { settledActions } from '../graph/settled.ts';
import { hasItems } from './parts.ts';
import { SAGA } from './saga.ts';

/** Shorter sleeps are a matter of the queue alone: the run goes on before anybody could make use of its slot. */
export const SHORTEST_SLEEP_MS = 5_000;

export interface SleepingTask {
  actionId: string;
  status: string;
  final: boolean;
  wakes: number;
  wakesSeen: number;
  notBefore?: { getTime(): number } | null;
  parentId: string | null;
  released: boolean;
}

export interface Sleep {
  /** When the first of its tasks is due; undefined: when one is woken. */
  untilMs: number | undefined;
  /** Something waits for another run: then this one keeps its slot in the window (see docs/decisions/0025). */
  forRun: boolean;
  /** The tasks that sleep, items and iterations included. */
  tasks: readonly string[];
}

/** Undefined: something of it runs, may be about to start, or is due within `shortestMs`. */
export function sleepOf(
  plan: Plan,
  tasks: ReadonlyMap<string, SleepingTask>,
  nowMs: number,
  shortestMs: number = SHORTEST_SLEEP_MS,
): Sleep | undefined {
  const settled = settledActions(plan, (actionId) => tasks.get(actionId)?.final === true);
  const asleep: string[] = [];
  let untilMs: number | undefined;
  let forRun = false;
  const sleeps = (task: SleepingTask | undefined, actionType: string): boolean => {
    const left = task === undefined ? 0 : remainingMs(task, nowMs);
    if (task === undefined || left < shortestMs) return false;
    asleep.push(task.actionId);
    if (left !== Number.POSITIVE_INFINITY) untilMs = Math.min(untilMs ?? Number.POSITIVE_INFINITY, nowMs + left);
    if (actionType === WORKFLOW_ACTION) forRun = true;
    return true;
  };
  const itemsOf = groupItems(tasks);
  for (const { index, action, dependsOn } of plan.actions) {
    if (settled.has(index) || !dependsOn.every((dependency) => settled.has(dependency))) continue;
    const own = tasks.get(action.action_id);
    if (!hasItems(action)) {
      if (!sleeps(own, action.action_type)) return undefined;
      continue;
    }
    const items = itemsOf.get(action.action_id) ?? [];
    // Without an item under way it is about to be woken. It waits for no time of its own.
    if (items.length === 0 || own === undefined || remainingMs(own, nowMs) === 0) return undefined;
    if (!items.every((item) => sleeps(item, action.action_type))) return undefined;
  }
  return asleep.length === 0 ? undefined : { untilMs, forRun, tasks: asleep };
}

/** How long a task sleeps on by itself: 0 when it does not, without an end when it is to be woken. */
export function remainingMs(
  { status, final, wakes, wakesSeen, notBefore }: Omit<SleepingTask, 'actionId' | 'parentId' | 'released'>,
  nowMs: number,
): number {
  if (final || wakes > wakesSeen) return 0;
  if (status !== 'waiting' && status !== 'retrying') return 0;
  if (notBefore != null) return Math.max(0, notBefore.getTime() - nowMs);
  return status === 'waiting' ? Number.POSITIVE_INFINITY : 0;
}

/** Those that were added to the queue and have not ended. */
function groupItems(tasks: ReadonlyMap<string, SleepingTask>): Map<string, SleepingTask[]> {
  const items = new Map<string, SleepingTask[]>();
  for (const task of tasks.values()) {
    const { parentId, final, released } = task;
    if (parentId === null || parentId === SAGA || final || !released) continue;
    const siblings = items.get(parentId);
    if (siblings === undefined) items.set(parentId, [task]);
    else siblings.push(task);
  }
  return items;
}
