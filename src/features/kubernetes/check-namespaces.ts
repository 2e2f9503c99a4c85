/** Before a workflow is saved: the namespaces that its actions name are among those that there are. */
import { type FieldFault, OrchestratorError } from '../../domain/errors.ts';
import { hasTemplate } from '../../domain/templates/template-syntax.ts';
import { ownProperty } from '../../domain/templates/templates.ts';
import type { BeforeSaveWorkflow } from '../../engine/ports/definitions.ts';
import type { Json } from '../../schemas/json.ts';
import { kubernetesJob } from './adapter.ts';
import { namespaceFault } from './run-job.ts';

export function createNamespaceCheck(namespaces: ReadonlySet<string>): BeforeSaveWorkflow {
  return async (_tenantId, { actions }) => {
    const errors = actions.flatMap(({ action_type: type, config, compensate }, index): FieldFault[] => [
      ...faultsOf(type, config, `actions.${index}.config`),
      ...(compensate === undefined
        ? []
        : faultsOf(compensate.action_type, compensate.config, `actions.${index}.compensate.config`)),
    ]);
    if (errors.length === 0) return;
    const named = errors.map(({ path, message }) => `${path}: ${message}`).join('; ');
    throw new OrchestratorError('definition_invalid', `The definition cannot work: ${named}`, { errors });
  };

  function faultsOf(type: string, config: Json, path: string): FieldFault[] {
    const namespace = type === kubernetesJob.type ? ownProperty(config, 'namespace') : undefined;
    if (typeof namespace !== 'string' || hasTemplate(namespace) || namespaces.has(namespace)) return [];
    return [{ path: `${path}.namespace`, message: namespaceFault(namespace, namespaces) }];
  }
}
