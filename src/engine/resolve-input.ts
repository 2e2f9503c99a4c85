/** From an action's config, with templates, to what its adapter gets. */
import type { Action } from '../domain/definition.ts';
import type { Plan, PlannedAction } from '../domain/plan.ts';
import { referencesOf, resolveTemplates, type TemplateNames } from '../domain/templates.ts';
import type { Json, JsonObject } from '../schemas/json.ts';
import type { Lookup, RunRow } from './ports.ts';

/** What an action or the output of a workflow may look at. */
export interface Scope {
  params: JsonObject;
  run: JsonObject;
  /** null for what was skipped, or failed and was let go. */
  outputs: ReadonlyMap<string, Json>;
}

const namesByPlan = new WeakMap<Plan, TemplateNames>();

export function templateNames(plan: Plan): TemplateNames {
  const known = namesByPlan.get(plan);
  if (known !== undefined) return known;
  const names = {
    parameters: new Set(plan.definition.parameters.map(({ name }) => name)),
    actions: new Set(plan.byId.keys()),
  };
  namesByPlan.set(plan, names);
  return names;
}

const outputsWanted = new WeakMap<Action, string[]>();

/** The actions whose outputs the templates of an action name; all of its dependencies when it has CEL, which may name any. */
export function outputsNamedBy(plan: Plan, planned: PlannedAction, literalFields: readonly string[]): string[] {
  const { action } = planned;
  const known = outputsWanted.get(action);
  if (known !== undefined) return known;
  const hasCel = action.when !== undefined || literalFields.length > 0;
  const named = hasCel
    ? planned.dependsOn.map((index) => plan.actions[index]?.action.action_id ?? '')
    : actionsIn(plan, action.cache === undefined ? action.config : [action.config, action.cache.key]);
  outputsWanted.set(action, named);
  return named;
}

export function actionsIn(plan: Plan, value: Json): string[] {
  const references = referencesOf(value, templateNames(plan));
  return [...new Set(references.flatMap((reference) => (reference.kind === 'action' ? [reference.name] : [])))];
}

export function scopeOf(run: RunRow, { tasks }: Lookup, actionIds: readonly string[]): Scope {
  const outputs = new Map<string, Json>();
  for (const id of actionIds) {
    const task = tasks.get(id);
    outputs.set(id, task?.status === 'completed' ? task.output : null);
  }
  return { params: run.parameters, run: runFacts(run), outputs };
}

function runFacts(run: RunRow): JsonObject {
  return {
    id: run.id,
    workflow_id: 'workflow_id' in run.of ? run.of.workflow_id : null,
    workflow_version: 'workflow_id' in run.of ? run.of.version : null,
    tenant_id: run.tenantId,
    user_id: run.userId,
    correlation_id: run.correlationId,
    created_at: run.createdAt.toISOString(),
  };
}

export function isServiceCall(plan: Plan): (actionId: string) => boolean {
  return (actionId) => plan.byId.get(actionId)?.action.action_type === 'service_call';
}

/** The input, and the secrets that went into it and must not be stored. Throws `template_unresolved`. */
export function resolveInput(
  plan: Plan,
  planned: PlannedAction,
  scope: Scope,
  literalFields: readonly string[],
  secret: (name: string) => string | undefined,
): { input: Json; secrets: string[] } {
  const used: string[] = [];
  const resolve = (value: Json) =>
    resolveTemplates(
      value,
      {
        ...scope,
        isServiceCall: isServiceCall(plan),
        secret: (name) => {
          const found = secret(name);
          if (found !== undefined) used.push(found);
          return found;
        },
      },
      templateNames(plan),
    );
  const { config } = planned.action;
  if (literalFields.length === 0 || typeof config !== 'object' || config === null || Array.isArray(config)) {
    return { input: resolve(config), secrets: used };
  }
  const input: JsonObject = {};
  for (const [key, value] of Object.entries(config)) input[key] = literalFields.includes(key) ? value : resolve(value);
  return { input, secrets: used };
}

/** The output of a run that ends with this scope: the definition's template, else the outputs of the sinks. */
export function runOutput(plan: Plan, scope: Scope): Json {
  const { output } = plan.definition;
  if (output !== undefined) {
    return resolveTemplates(
      output,
      {
        ...scope,
        isServiceCall: isServiceCall(plan),
        secret: () => undefined,
      },
      templateNames(plan),
    );
  }
  return Object.fromEntries(sinkIds(plan).map((id) => [id, scope.outputs.get(id) ?? null]));
}

/** The actions whose outputs the output of the run is made of. */
export function outputsOfRun(plan: Plan): string[] {
  const { output } = plan.definition;
  return output === undefined ? sinkIds(plan) : actionsIn(plan, output);
}

function sinkIds(plan: Plan): string[] {
  return plan.sinks.map((index) => plan.actions[index]?.action.action_id ?? '');
}
