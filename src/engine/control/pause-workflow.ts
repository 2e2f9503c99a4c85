/** A workflow that accepts no runs until it is resumed; its live runs are paused with it on request. */
import { OrchestratorError } from '../../domain/errors.ts';
import type { WorkflowStatus } from '../ports/read-models.ts';
import type { Caller, PauseWorkflows } from '../ports/use-cases.ts';
import type { ControlOperations } from './control-operations.ts';

export interface WorkflowPauseStore {
  /**
   * Undefined: no such workflow. `changed`: false when it had another status than `from`. What is to be done to its runs is
   * written down with it, under `operationId`.
   */
  setStatus(
    caller: Caller,
    workflowId: string,
    change: {
      from: WorkflowStatus;
      to: 'paused' | 'active';
      reason: string | undefined;
      runs: string;
      operationId: string | undefined;
    },
  ): Promise<{ was: WorkflowStatus; changed: boolean } | undefined>;
}

export function createPauseWorkflows(deps: {
  workflows: WorkflowPauseStore;
  operations: Pick<ControlOperations, 'start'>;
  newId(): string;
}): PauseWorkflows {
  async function change(
    caller: Caller,
    workflowId: string,
    to: 'paused' | 'active',
    { reason, runs }: { reason: string | undefined; runs: string },
  ) {
    const from = to === 'paused' ? 'active' : 'paused';
    const operationId = runs === 'keep' ? undefined : deps.newId();
    const done = await deps.workflows.setStatus(caller, workflowId, { from, to, reason, runs, operationId });
    if (done === undefined) throw new OrchestratorError('not_found', 'Workflow not found');
    // Requested again, it is about the runs.
    if (!done.changed && !(done.was === to && operationId !== undefined)) {
      throw new OrchestratorError('conflict', `The workflow is ${done.was}`);
    }
    return {
      status: to,
      operation: operationId === undefined ? undefined : await deps.operations.start(caller, operationId),
    };
  }
  return {
    pause: (caller, workflowId, request) => change(caller, workflowId, 'paused', request),
    resume: (caller, workflowId, request) => change(caller, workflowId, 'active', request),
  };
}
