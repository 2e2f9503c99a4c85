/**
 * How workflows are created, changed and deleted, whichever API asks: a rule that rejects a change is a step before the
 * store. `system:<name>` names the tenant's own of the service's workflows, which may be paused and not changed or deleted,
 * because the next release would not find what it left.
 */
import type { Definition } from '../../domain/definition/definition.ts';
import { isSystemId } from '../../domain/definition/system-workflow.ts';
import { OrchestratorError } from '../../domain/errors.ts';
import type { SystemWorkflows } from '../accept/system-workflows.ts';
import type { BeforeSaveWorkflow } from '../ports/definitions.ts';
import type { WorkflowStore } from '../ports/read-models.ts';
import { checkRecursion } from './check-recursion.ts';

export interface SaveWorkflowDeps {
  store: WorkflowStore;
  system: SystemWorkflows;
  /** Of all features; asked for when a definition is saved. */
  beforeSave(): readonly BeforeSaveWorkflow[];
}

export function createWorkflows({ store, system, beforeSave }: SaveWorkflowDeps): WorkflowStore {
  async function checkNotSystem(tenantId: string, id: string): Promise<void> {
    if (!isSystemId(id) || (await store.find(tenantId, id)) === undefined) return;
    throw new OrchestratorError(
      'forbidden',
      'This workflow is the service’s own: it can be paused, and neither be changed nor deleted',
    );
  }

  async function checkFeatures(tenantId: string, definition: Definition): Promise<void> {
    for (const check of beforeSave()) await check(tenantId, definition);
  }

  return {
    ...store,
    find: async (tenantId, id, version) => store.find(tenantId, await system.idOf(tenantId, id), version),
    async create(tenantId, userId, definition) {
      await checkFeatures(tenantId, definition);
      await checkRecursion(store, tenantId, definition, undefined);
      return store.create(tenantId, userId, definition);
    },
    async update(tenantId, userId, alias, change) {
      const id = await system.idOf(tenantId, alias);
      if (change.definition !== undefined) {
        await checkNotSystem(tenantId, id);
        await checkFeatures(tenantId, change.definition);
        await checkRecursion(store, tenantId, change.definition, id);
      }
      return store.update(tenantId, userId, id, change);
    },
    async setCanary(tenantId, alias, canary) {
      const id = await system.idOf(tenantId, alias);
      await checkNotSystem(tenantId, id);
      return store.setCanary(tenantId, id, canary);
    },
    async promoteCanary(tenantId, alias) {
      const id = await system.idOf(tenantId, alias);
      await checkNotSystem(tenantId, id);
      return store.promoteCanary(tenantId, id);
    },
    async remove(by, alias, operationId) {
      const id = await system.idOf(by.tenantId, alias);
      await checkNotSystem(by.tenantId, id);
      return store.remove(by, id, operationId);
    },
  };
}
