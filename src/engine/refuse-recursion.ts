/** The keeping of workflows, for every door: a definition that leads back to itself, or nowhere, is not kept. */
import type { Definition } from '../domain/definition.ts';
import { OrchestratorError } from '../domain/errors.ts';
import { type FindWorkflow, faultsOfSubWorkflows, subWorkflowsOf } from '../domain/sub-workflows.ts';
import type { WorkflowStore } from './read-models.ts';

type Kept = Pick<WorkflowStore, 'create' | 'update' | 'find' | 'resolve'>;

export function refusingRecursion<Store extends Kept>(workflows: Store): Store {
  async function check(tenantId: string, definition: Definition, id: string | undefined): Promise<void> {
    const find: FindWorkflow = async ({ by, named, version }) => {
      const found = await (by === 'name' ? workflows.resolve : workflows.find)(tenantId, named, version);
      if (found === undefined) return undefined;
      const { id: foundId, version: foundVersion, definition: names } = found;
      return { id: foundId, version: foundVersion, name: names.name, names: subWorkflowsOf(names) };
    };
    const errors = await faultsOfSubWorkflows(definition, { id }, find);
    if (errors.length === 0) return;
    const named = errors.map(({ path, message }) => `${path}: ${message}`).join('; ');
    throw new OrchestratorError('definition_invalid', `The definition cannot work: ${named}`, { errors });
  }
  return {
    ...workflows,
    async create(tenantId, userId, definition) {
      await check(tenantId, definition, undefined);
      return workflows.create(tenantId, userId, definition);
    },
    async update(tenantId, userId, id, change) {
      if (change.definition !== undefined) await check(tenantId, change.definition, id);
      return workflows.update(tenantId, userId, id, change);
    },
  };
}
