/** Runs that tasks of other runs have started (action type `workflow`): what the engine needs from the store. */

import type { ChildSoFar, Lineage } from '../../domain/definition/sub-workflows.ts';
import type { RunStatus } from '../../domain/runs/run-states.ts';
import type { Json } from '../../schemas/json.ts';
import type { RunRow } from './rows.ts';
import type { NewRun, ParentTask, StoredRun } from './runs.ts';

export interface ChildRun extends ChildSoFar {
  id: string;
  status: RunStatus;
  output: Json;
  error: Json;
}

/** Waits for the database rather than fail a task for it. */
export interface ChildStore {
  /** The newest run that this task has started, in whichever epoch. */
  find(task: Pick<ParentTask, 'runId' | 'actionId'>): Promise<ChildRun | undefined>;
  /** At most `limit` of them. */
  lineage(runId: string, limit: number): Promise<Lineage>;
  /**
   * Starts the run of this attempt, unless it has been started before. Undefined: the run of the task starts nothing any
   * more, it has ended, is being cancelled, or is in another epoch. Once one of these is committed nothing is inserted.
   */
  insert(run: NewRun, parent: ParentTask & { awaited: boolean; depth: number }): Promise<StoredRun | undefined>;
  /** The run becomes that of this attempt, if the task's run is still in that epoch. */
  adopt(childId: string, parent: ParentTask): Promise<void>;
  /** Awaited runs that have not ended: of a run, or of one of its tasks. */
  openOf(runId: string, actionId?: string): Promise<string[]>;
  /** The task that waits for this run, if its own run has not ended. */
  parentOf(runId: string): Promise<{ runId: string; epoch: number; actionId: string } | undefined>;
  /** Tasks that sleep although every run that they have started has ended. */
  tasksOfEnded(runId: string): Promise<string[]>;
  /** Pending child runs that there is room for, round robin by tenant; raises their add generation in the same statement. */
  takePending(window: number, limit: number, olderThanMs: number): Promise<RunRow[]>;
  /** How many runs of this depth are in the queue, counted up to `limit`. */
  countAtDepth(depth: number, limit: number): Promise<number>;
}
