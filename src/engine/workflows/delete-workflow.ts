/** Deletes a workflow, whose history is retained; by `force` its live runs are cancelled, else they prevent it. */
import { OrchestratorError } from '../../domain/errors.ts';
import type { ControlOperations } from '../control/control-operations.ts';
import type { DeleteWorkflow } from '../ports/manage-workflows.ts';
import { checkNotSystem, type WorkflowDeps, workflowNotFound } from './workflow-deps.ts';

export interface DeleteWorkflowDeps extends Pick<WorkflowDeps, 'store' | 'system'> {
  operations: Pick<ControlOperations, 'start'>;
  newId(): string;
}

export function createDeleteWorkflow({ store, system, operations, newId }: DeleteWorkflowDeps): DeleteWorkflow {
  return async (caller, alias, force) => {
    const id = await system.idOf(caller.tenantId, alias);
    await checkNotSystem(store, caller, id);
    const operationId = force ? newId() : undefined;
    const outcome = await store.remove(caller, id, operationId);
    if (outcome === 'unknown') throw workflowNotFound();
    if (outcome === 'active')
      throw new OrchestratorError('active_runs', 'Runs of this workflow are active; ?force=true cancels them');
    // Deleted first, so that no run can be accepted between the two.
    return outcome === 'cancelling' && operationId !== undefined ? operations.start(caller, operationId) : undefined;
  };
}
