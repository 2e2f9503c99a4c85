/**
 * Before a workflow is saved: an action that calls an operation of a service whose OpenAPI document is stored
 * names one that is in it. Without a document, or with a template, the call itself checks.
 */
import type { Definition } from '../../domain/definition/definition.ts';
import { type FieldFault, OrchestratorError } from '../../domain/errors.ts';
import { hasTemplate } from '../../domain/templates/template-syntax.ts';
import { ownProperty } from '../../domain/templates/templates.ts';
import type { BeforeSaveWorkflow } from '../../engine/ports/definitions.ts';
import type { Json } from '../../schemas/json.ts';
import { canonicalName, unknownOperation } from './poll-apis.ts';

const SERVICE_CALL = 'service_call';

export function createOperationsCheck(deps: {
  /** Of the newest document; undefined: there is none. */
  operationIds(tenantId: string, service: string): Promise<readonly string[] | undefined>;
  configured: ReadonlyMap<string, string>;
}): BeforeSaveWorkflow {
  return async (tenantId, { actions }) => {
    const errors: FieldFault[] = [];
    const cache = new Map<string, readonly string[] | undefined>();
    for (const [index, action] of actions.entries()) {
      for (const [config, path] of callsIn(action, `actions.${index}`)) {
        const [service, id] = [literal(config, 'service'), literal(config, 'operation_id')];
        if (service === undefined || id === undefined) continue;
        const name = canonicalName(deps.configured, service);
        if (!cache.has(name)) cache.set(name, await deps.operationIds(tenantId, name));
        const ids = cache.get(name);
        if (ids === undefined || ids.includes(id)) continue;
        const message = `of the action '${action.action_id}': ${unknownOperation(name, id, ids)}`;
        errors.push({ path: `${path}.operation_id`, message });
      }
    }
    if (errors.length === 0) return;
    const named = errors.map(({ path, message }) => `${path}: ${message}`).join('; ');
    throw new OrchestratorError('definition_invalid', `The definition cannot work: ${named}`, { errors });
  };
}

/** The configs of its calls, also of its compensation, with their paths. */
function callsIn(
  { action_type, config, compensate }: Definition['actions'][number],
  path: string,
): Array<[Json, string]> {
  const calls: Array<[Json, string]> = [];
  if (action_type === SERVICE_CALL) calls.push([config, `${path}.config`]);
  if (compensate?.action_type === SERVICE_CALL) calls.push([compensate.config, `${path}.compensate.config`]);
  return calls;
}

function literal(config: Json, field: string): string | undefined {
  const value = ownProperty(config, field);
  return typeof value === 'string' && !hasTemplate(value) ? value : undefined;
}
