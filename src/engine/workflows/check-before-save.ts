/** The rules that a definition must satisfy before it is saved, beyond those that it satisfies by itself. */
import type { Definition } from '../../domain/definition/definition.ts';
import type { Caller } from '../ports/use-cases.ts';
import { checkPermissions } from './check-permissions.ts';
import { checkRecursion } from './check-recursion.ts';
import type { WorkflowDeps } from './workflow-deps.ts';

/** `id`: of the workflow that is changed; undefined for a new one. */
export async function checkBeforeSave(
  { store, actionTypes, beforeSave }: Pick<WorkflowDeps, 'store' | 'actionTypes' | 'beforeSave'>,
  caller: Caller,
  definition: Definition,
  id: string | undefined,
): Promise<void> {
  const { tenantId } = caller;
  checkPermissions(actionTypes, caller, definition);
  for (const check of beforeSave()) await check(tenantId, definition);
  await checkRecursion(store, tenantId, definition, id);
}
