/** What follows when a part of a task (an item of a fan-out, an iteration of a loop) is final. */
import { taskNode } from '../../domain/graph/compile.ts';
import type { PlannedAction } from '../../domain/graph/plan.ts';
import { itemOf } from '../../domain/runs/parts.ts';
import { flowOfRun } from '../accept/flow-of-run.ts';
import type { Logger } from '../ports/logger.ts';
import type { PartStore } from '../ports/parts.ts';
import type { FlowQueue } from '../ports/queue.ts';
import type { RunRow } from '../ports/rows.ts';
import type { TaskStore } from '../ports/tasks.ts';
import type { FoundTask } from './attempt.ts';
import { wakeTasks } from './wake-tasks.ts';

export interface PartEndedDeps {
  parts: PartStore;
  tasks: Pick<TaskStore, 'wake'>;
  queue: FlowQueue;
  log: Logger;
  now(): number;
}

/** Adds the next part to the queue, or wakes the parent task. `status`: undefined where it is not known. */
export async function partEnded(
  deps: PartEndedDeps,
  { run, delivery }: FoundTask,
  { of: parent }: { of: PlannedAction },
  status: string | undefined,
): Promise<void> {
  const { action_id: actionId, action_type: actionType, for_each: forEach } = parent.action;
  const wake = () => wakeTasks(deps, run, [{ actionId, actionType }]);
  const isSuccess = status === 'completed' || status === 'skipped';
  if (forEach?.on_item_failure === 'fail' && !isSuccess) return wake();
  if (forEach?.max_parallel !== undefined && run.status !== 'cancelling') {
    const next = await deps.parts.take(run.id, actionId, forEach.max_parallel);
    if (next.length > 0)
      return addParts(deps, { ...run, gen: delivery.data.gen }, { parent, positions: next, delayMs: () => 0 });
  }
  if (!(await deps.parts.anyOpen(run.id, actionId))) await wake();
}

export interface PartsToAdd {
  parent: PlannedAction;
  positions: readonly number[];
  delayMs(position: number): number;
}

export function addParts(
  deps: Pick<PartEndedDeps, 'queue' | 'now'>,
  run: RunRow,
  { parent, positions, delayMs }: PartsToAdd,
): Promise<void> {
  const flow = flowOfRun(run, run.gen, deps.now());
  return deps.queue.add(positions.map((position) => [taskNode(itemOf(parent, position), flow, delayMs(position), [])]));
}
