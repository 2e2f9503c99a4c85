/** Changes a workflow: the change is merged into the newest version, checked, and stored if that is still the newest. */
import type { Definition } from '../../domain/definition/definition.ts';
import { OrchestratorError } from '../../domain/errors.ts';
import type { JsonObject } from '../../schemas/json.ts';
import type { WorkflowUpdate } from '../ports/manage-workflows.ts';
import type { StoredWorkflow } from '../ports/read-models.ts';
import type { Caller } from '../ports/use-cases.ts';
import { checkBeforeSave } from './check-before-save.ts';
import { checkNotSystem, findWorkflow, type WorkflowDeps, workflowNotFound } from './workflow-deps.ts';

/** Merges of a change into the newest version, when others change the workflow at the same time. */
const MERGE_ROUNDS = 5;

export async function updateWorkflow(
  deps: WorkflowDeps,
  caller: Caller,
  alias: string,
  { patch, status, canaryPercent, precondition }: WorkflowUpdate,
): Promise<StoredWorkflow> {
  const { store } = deps;
  const id = await deps.system.idOf(caller.tenantId, alias);
  for (let round = 0; round < MERGE_ROUNDS; round += 1) {
    const current = await findWorkflow(store, caller, id);
    precondition(current);
    const definition = await mergedDefinition(deps, caller, current, patch);
    const outcome = await store.update(caller.tenantId, caller.userId, id, {
      expectedVersion: current.version,
      ...(definition === undefined ? {} : { definition }),
      ...(status === undefined ? {} : { status }),
      ...(canaryPercent === undefined ? {} : { canaryPercent }),
    });
    if (outcome.done === 'unknown') throw workflowNotFound();
    if (outcome.done === 'updated') return outcome.workflow;
  }
  throw new OrchestratorError('conflict', 'The workflow is being changed by others at the same time; try again');
}

/** Undefined: the change is not about the definition. */
async function mergedDefinition(
  deps: WorkflowDeps,
  caller: Caller,
  current: StoredWorkflow,
  patch: JsonObject,
): Promise<Definition | undefined> {
  if (Object.keys(patch).length === 0) return undefined;
  const definition = await deps.rules.merge(caller.tenantId, current.definition, patch);
  await checkNotSystem(deps.store, caller, current.id);
  await checkBeforeSave(deps, caller, definition, current.id);
  return definition;
}
