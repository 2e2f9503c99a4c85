/** Creates a workflow: its definition is read, checked and stored as version 1. */
import type { Definition } from '../../domain/definition/definition.ts';
import type { JsonObject } from '../../schemas/json.ts';
import type { StoredWorkflow } from '../ports/read-models.ts';
import type { Caller } from '../ports/use-cases.ts';
import { checkBeforeSave } from './check-before-save.ts';
import { readDefinition } from './read-definition.ts';
import type { WorkflowDeps } from './workflow-deps.ts';

export async function createWorkflow(deps: WorkflowDeps, caller: Caller, written: JsonObject): Promise<StoredWorkflow> {
  const definition = await validateDefinition(deps, caller, written);
  return deps.store.create(caller.tenantId, caller.userId, definition);
}

export async function validateDefinition(deps: WorkflowDeps, caller: Caller, written: JsonObject): Promise<Definition> {
  const definition = await readDefinition(deps.rules, caller, written);
  await checkBeforeSave(deps, caller, definition, undefined);
  return definition;
}
