/** How a task (or a run, which is one for the simple door) stands, in few words: for those who watch it. */

export interface TaskState {
  status: 'pending' | 'running' | 'completed' | 'failed' | 'cancelled';
  final: boolean;
  /** 0 to 100: what the task reported, or the part of a workflow's actions that have ended. Null: nobody knows. */
  progress: number | null;
  /** What the task said last, or why it did not complete. */
  message: string | null;
  /** ISO-8601: when that was so first, as far as the database knows. */
  at: string;
}

export interface TaskStates {
  /** Undefined: there is no such task of this tenant. */
  read(tenantId: string, runId: string): Promise<TaskState | undefined>;
}
