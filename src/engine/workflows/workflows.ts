/**
 * The workflows of tenants, whichever API asks: each change is a use case in a file of its own. `system:<name>` names the
 * tenant's own of the service's workflows.
 */

import type { ManageWorkflows } from '../ports/manage-workflows.ts';
import type { WorkflowStore } from '../ports/read-models.ts';
import { promoteCanary, removeCanary, setCanary } from './canary.ts';
import { createWorkflow, validateDefinition } from './create-workflow.ts';
import { updateWorkflow } from './update-workflow.ts';
import type { WorkflowDeps } from './workflow-deps.ts';

export type Workflows = ReadWorkflows & ManageWorkflows;
type ReadWorkflows = Pick<WorkflowStore, 'find' | 'resolve' | 'existed' | 'list' | 'versions'>;

export function createWorkflows(deps: WorkflowDeps): Workflows {
  const { store, system } = deps;
  const { resolve, existed, list, versions } = store;
  return {
    ...{ resolve, existed, list, versions },
    find: async (tenantId, id, version) => store.find(tenantId, await system.idOf(tenantId, id), version),
    create: (caller, written) => createWorkflow(deps, caller, written),
    validate: (caller, written) => validateDefinition(deps, caller, written),
    update: (caller, id, change) => updateWorkflow(deps, caller, id, change),
    setCanary: (caller, id, canary) => setCanary(deps, caller, id, canary),
    removeCanary: (caller, id) => removeCanary(deps, caller, id),
    promoteCanary: (caller, id) => promoteCanary(deps, caller, id),
  };
}
