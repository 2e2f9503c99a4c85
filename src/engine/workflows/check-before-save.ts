/** The rules that a definition must satisfy before it is saved, beyond those that it satisfies by itself. */
import type { Definition } from '../../domain/definition/definition.ts';
import type { Caller } from '../ports/use-cases.ts';
import { checkRecursion } from './check-recursion.ts';
import type { WorkflowDeps } from './workflow-deps.ts';

/** `id`: of the workflow that is changed; undefined for a new one. */
export async function checkBeforeSave(
  { store, beforeSave }: Pick<WorkflowDeps, 'store' | 'beforeSave'>,
  { tenantId }: Caller,
  definition: Definition,
  id: string | undefined,
): Promise<void> {
  for (const check of beforeSave()) await check(tenantId, definition);
  await checkRecursion(store, tenantId, definition, id);
}
