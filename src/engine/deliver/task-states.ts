/** The state of a task (or a run, which is one for the single-task API) in few words, for those who watch it. */
import type { RunResult } from '../ports/run-views.ts';

export interface TaskState {
  status: RunResult['status'];
  final: boolean;
  /** 0 to 100: what the task reported, or the share of a workflow's actions that have ended. Null: nobody knows. */
  progress: number | null;
  /** What the task said last, or why it did not complete. */
  message: string | null;
  /** When that was so first, as far as the database knows. */
  at: Date;
}

export interface TaskStates {
  /** Undefined: there is no such task of this tenant. */
  read(tenantId: string, runId: string): Promise<TaskState | undefined>;
}
