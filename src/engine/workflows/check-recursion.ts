/** Before a workflow is saved: a definition that leads back to itself, or nowhere, is rejected. */
import type { Definition } from '../../domain/definition/definition.ts';
import { type FindWorkflow, faultsOfSubWorkflows, subWorkflowsOf } from '../../domain/definition/sub-workflows.ts';
import { OrchestratorError } from '../../domain/errors.ts';
import type { WorkflowStore } from '../ports/read-models.ts';

/** `id`: of the workflow that is changed; undefined for a new one. */
export async function checkRecursion(
  workflows: Pick<WorkflowStore, 'find' | 'resolve'>,
  tenantId: string,
  definition: Definition,
  id: string | undefined,
): Promise<void> {
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
