/** `dedupe` of a workflow: within a window only one run for each key is accepted. */
import type { Json, JsonObject } from '../../schemas/json.ts';
import type { TemplateNames } from '../templates/templates.ts';
import type { Definition } from './definition.ts';
import { checkKey, type KeyCheck, resolveKey } from './key-template.ts';

/** The fields of a run that are known before it is accepted. */
export const KNOWN_AT_ACCEPTANCE: ReadonlySet<string> = new Set([
  'workflow_id',
  'workflow_version',
  'tenant_id',
  'user_id',
  'correlation_id',
]);

export function checkDedupe({ dedupe }: Definition, check: KeyCheck): void {
  if (dedupe === undefined) return;
  checkKey(dedupe.key, 'dedupe.key', check, ({ kind, name }) => {
    if (kind === 'action') return 'there are no outputs yet when an execution is accepted';
    if (kind === 'run' && !KNOWN_AT_ACCEPTANCE.has(name))
      return `is not known when an execution is accepted; of the run there are ${[...KNOWN_AT_ACCEPTANCE].join(', ')}`;
    return undefined;
  });
}

/** The key of a run that is about to be accepted. Throws `template_unresolved` for a path that the parameters have not. */
export function dedupeKeyOf(definition: Definition, params: JsonObject, run: JsonObject): Json | undefined {
  const { dedupe } = definition;
  if (dedupe === undefined) return undefined;
  return resolveKey(dedupe.key, { params, run, outputs: new Map(), isServiceCall: () => false }, namesOf(definition));
}

export function namesOf({ parameters, actions }: Definition): TemplateNames {
  return {
    parameters: new Set(parameters.map(({ name }) => name)),
    actions: new Set(actions.map(({ action_id }) => action_id)),
  };
}
