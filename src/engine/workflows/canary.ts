/** The canary of a workflow: a version that gets a share of the runs that name none, until it is removed or promoted. */

import { OrchestratorError } from '../../domain/errors.ts';
import type { Canary } from '../../domain/runs/canary.ts';
import type { StoredWorkflow } from '../ports/read-models.ts';
import type { Caller } from '../ports/use-cases.ts';
import { checkNotSystem, findWorkflow, type WorkflowDeps, workflowNotFound } from './workflow-deps.ts';

type Deps = Pick<WorkflowDeps, 'store' | 'system'>;

export async function setCanary(deps: Deps, caller: Caller, alias: string, canary: Canary): Promise<StoredWorkflow> {
  const id = await changeableId(deps, caller, alias);
  const outcome = await deps.store.setCanary(caller.tenantId, id, canary);
  if (outcome === 'unknown' || outcome === 'no_such_version') throw workflowNotFound();
  if (outcome === 'is_current')
    throw new OrchestratorError('conflict', `Version ${canary.version} is the current version`);
  return findWorkflow(deps.store, caller, id);
}

export async function removeCanary(deps: Deps, caller: Caller, alias: string): Promise<void> {
  const id = await changeableId(deps, caller, alias);
  if ((await deps.store.setCanary(caller.tenantId, id, undefined)) !== 'done') throw workflowNotFound();
}

export async function promoteCanary(deps: Deps, caller: Caller, alias: string): Promise<StoredWorkflow> {
  const id = await changeableId(deps, caller, alias);
  const version = await deps.store.promoteCanary(caller.tenantId, id);
  const found = await findWorkflow(deps.store, caller, id);
  if (version === undefined) throw new OrchestratorError('conflict', 'The workflow has no canary');
  return found;
}

async function changeableId({ store, system }: Deps, caller: Caller, alias: string): Promise<string> {
  const id = await system.idOf(caller.tenantId, alias);
  await checkNotSystem(store, caller, id);
  return id;
}
