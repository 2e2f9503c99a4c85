/** What it takes to change workflows, and what the steps of these changes have in common. */
import { isSystemId } from '../../domain/definition/system-workflow.ts';
import { OrchestratorError } from '../../domain/errors.ts';
import type { SystemWorkflows } from '../accept/system-workflows.ts';
import type { BeforeSaveWorkflow, DefinitionRules } from '../ports/definitions.ts';
import type { WorkflowStore } from '../ports/read-models.ts';
import type { Caller } from '../ports/use-cases.ts';
import type { PermissionsOfTypes } from './check-permissions.ts';

export interface WorkflowDeps {
  store: WorkflowStore;
  system: Pick<SystemWorkflows, 'idOf'>;
  rules: DefinitionRules;
  actionTypes: PermissionsOfTypes;
  /** Of all features; asked for when a definition is saved. */
  beforeSave(): readonly BeforeSaveWorkflow[];
}

export async function findWorkflow(store: Pick<WorkflowStore, 'find'>, { tenantId }: Caller, id: string) {
  const found = await store.find(tenantId, id);
  if (found === undefined) throw workflowNotFound();
  return found;
}

/** One of the service itself may be paused and neither changed nor deleted: the next release would not find what it left. */
export async function checkNotSystem(store: Pick<WorkflowStore, 'find'>, caller: Caller, id: string): Promise<void> {
  if (!isSystemId(id) || (await store.find(caller.tenantId, id)) === undefined) return;
  throw new OrchestratorError(
    'forbidden',
    'This workflow is the service’s own: it can be paused, and neither be changed nor deleted',
  );
}

export function workflowNotFound(): OrchestratorError {
  return new OrchestratorError('not_found', 'Workflow not found');
}
