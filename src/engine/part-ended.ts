/** What follows when a part of a task is final: the next one goes, or the task that it is a part of is woken. */
import { taskNode } from '../domain/compile.ts';
import { partOf } from '../domain/parts.ts';
import type { PlannedAction } from '../domain/plan.ts';
import { flowOfRun } from './flow-of-run.ts';
import type { PartStore } from './part-ports.ts';
import type { FlowQueue, Logger, RunRow, TaskStore } from './ports.ts';
import { wakeTasks } from './wake-tasks.ts';

export interface PartEndedDeps {
  parts: PartStore;
  tasks: Pick<TaskStore, 'wake'>;
  queue: FlowQueue;
  log: Logger;
  now(): number;
}

/** A part is final: the next one goes, or the task that it is a part of is woken. `status`: undefined where it is not known. */
export async function partEnded(
  deps: PartEndedDeps,
  run: RunRow,
  { of: whole }: { of: PlannedAction },
  gen: number,
  status: string | undefined,
): Promise<void> {
  const { action_id: actionId, action_type: actionType, for_each: forEach } = whole.action;
  const wake = () => wakeTasks(deps, run, [{ actionId, actionType }]);
  const isKnownGood = status === 'completed' || status === 'skipped';
  if (forEach?.on_item_failure === 'fail' && !isKnownGood) return wake();
  if (forEach?.max_parallel !== undefined && run.status !== 'cancelling') {
    const next = await deps.parts.take(run.id, actionId, forEach.max_parallel);
    if (next.length > 0) return addParts(deps, whole, { ...run, gen }, next, () => 0);
  }
  if (!(await deps.parts.anyOpen(run.id, actionId))) await wake();
}

export function addParts(
  deps: Pick<PartEndedDeps, 'queue' | 'now'>,
  whole: PlannedAction,
  run: RunRow,
  positions: readonly number[],
  delayMs: (position: number) => number,
): Promise<void> {
  const flow = flowOfRun(run, run.gen, deps.now());
  return deps.queue.add(positions.map((position) => [taskNode(partOf(whole, position), flow, delayMs(position), [])]));
}
