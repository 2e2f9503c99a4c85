/** A workflow that accepts no runs until it is resumed; its live runs are paused with it when that is asked for. */
import { OrchestratorError } from '../domain/errors.ts';
import type { WorkflowStatus } from './read-models.ts';
import type { Caller, PauseRuns, PauseWorkflows } from './use-cases.ts';

export interface WorkflowPauseStore {
  /** Undefined: no such workflow. `changed`: false when it had another status than `from`. */
  setStatus(
    caller: Caller,
    workflowId: string,
    change: { from: WorkflowStatus; to: WorkflowStatus; reason: string | undefined; runs: string },
  ): Promise<{ was: WorkflowStatus; changed: boolean } | undefined>;
}

export function createPauseWorkflows(deps: { workflows: WorkflowPauseStore; runs: PauseRuns }): PauseWorkflows {
  async function change(
    caller: Caller,
    workflowId: string,
    to: 'paused' | 'active',
    { reason, runs }: { reason: string | undefined; runs: string },
  ): Promise<WorkflowStatus> {
    const from = to === 'paused' ? 'active' : 'paused';
    const done = await deps.workflows.setStatus(caller, workflowId, { from, to, reason, runs });
    if (done === undefined) throw new OrchestratorError('not_found', 'Workflow not found');
    // Asked for again, it is about the runs.
    if (!done.changed && !(done.was === to && runs !== 'keep')) {
      throw new OrchestratorError('conflict', `The workflow is ${done.was}`);
    }
    return to;
  }
  return {
    async pause(caller, workflowId, { reason, runs }) {
      const status = await change(caller, workflowId, 'paused', { reason, runs });
      return { status, runs: runs === 'pause' ? await deps.runs.pauseRunsOf(caller, workflowId, reason) : 0 };
    },
    async resume(caller, workflowId, { reason, runs }) {
      const status = await change(caller, workflowId, 'active', { reason, runs });
      return { status, runs: runs === 'resume' ? await deps.runs.resumeRunsOf(caller, workflowId, reason) : 0 };
    },
  };
}
