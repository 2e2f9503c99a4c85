/** From an action's config, with templates, to what its adapter gets. */
import type { Action } from '../../domain/definition/definition.ts';
import type { Plan, PlannedAction } from '../../domain/graph/plan.ts';
import { hasItems, itemId, localNames } from '../../domain/runs/parts.ts';
import { COMPENSATION_NAMES } from '../../domain/runs/saga.ts';
import { referencesOf, resolveTemplates, type TemplateNames } from '../../domain/templates/templates.ts';
import type { Json, JsonObject } from '../../schemas/json.ts';
import type { Lookup, RunRow, TaskRow } from '../ports/rows.ts';
import type { TaskSecret } from '../ports/secrets.ts';

/** What the templates of an action or of the output of a workflow may read. */
export interface Scope {
  params: JsonObject;
  run: JsonObject;
  /** null for what was skipped, or failed and was tolerated. */
  outputs: ReadonlyMap<string, Json>;
  /** What only an item of a fan-out or an iteration of a loop has. */
  locals: JsonObject;
}

const namesByPlan = new WeakMap<Plan, TemplateNames>();

export function templateNames(plan: Plan): TemplateNames {
  const cached = namesByPlan.get(plan);
  if (cached !== undefined) return cached;
  const names = {
    parameters: new Set(plan.definition.parameters.map(({ name }) => name)),
    actions: new Set(plan.byId.keys()),
  };
  namesByPlan.set(plan, names);
  return names;
}

const NO_SECRETS = { secret: () => undefined };

export function isServiceCall(plan: Plan): (actionId: string) => boolean {
  return (actionId) => plan.byId.get(actionId)?.action.action_type === 'service_call';
}

const outputsByAction = new WeakMap<Action, string[]>();

/** The names that an action may use: an item or iteration, and its parent task, have more. */
export function namesFor(plan: Plan, { action, item, compensates }: PlannedAction): TemplateNames {
  const locals = compensates === undefined ? localNames(item?.of.action ?? action) : COMPENSATION_NAMES;
  return locals === undefined ? templateNames(plan) : { ...templateNames(plan), locals };
}

/** The actions whose outputs the templates of an action name; all of its dependencies when it has CEL, which may name any. */
export function outputsNamedBy(plan: Plan, planned: PlannedAction, literalFields: readonly string[]): string[] {
  const { action } = planned;
  const cached = outputsByAction.get(action);
  if (cached !== undefined) return cached;
  const hasCel = action.when !== undefined || literalFields.length > 0 || hasItems(action);
  const named = hasCel
    ? planned.dependsOn.map((index) => plan.actions[index]?.action.action_id ?? '')
    : actionsIn(
        action.cache === undefined ? action.config : [action.config, action.cache.key],
        namesFor(plan, planned),
      );
  outputsByAction.set(action, named);
  return named;
}

function actionsIn(value: Json, names: TemplateNames): string[] {
  const references = referencesOf(value, names);
  return [...new Set(references.flatMap((reference) => (reference.kind === 'action' ? [reference.name] : [])))];
}

export function scopeOf(run: RunRow, { tasks }: Lookup, actionIds: readonly string[]): Scope {
  const outputs = new Map<string, Json>();
  for (const id of actionIds) {
    const task = tasks.get(id);
    outputs.set(id, task?.status === 'completed' ? task.output : null);
  }
  return { params: run.parameters, run: runFacts(run), outputs, locals: {} };
}

function runFacts(run: RunRow): JsonObject {
  const facts: JsonObject = {
    id: run.id,
    workflow_id: 'workflow_id' in run.of ? run.of.workflow_id : null,
    workflow_version: 'workflow_id' in run.of ? run.of.version : null,
    tenant_id: run.tenantId,
    user_id: run.userId,
    correlation_id: run.correlationId,
    created_at: run.createdAt.toISOString(),
  };
  const { executionContext } = run;
  if (executionContext !== undefined && executionContext !== null) facts['execution_context'] = executionContext;
  return facts;
}

/** What an item or iteration has besides what its run has. */
export function localsOf({ item }: PlannedAction, { tasks }: Lookup, own: TaskRow | undefined): JsonObject {
  if (item === undefined) return {};
  const { of: parent, position } = item;
  if (parent.action.for_each !== undefined) return { item: own?.item ?? null, item_index: position };
  const before = tasks.get(itemId(parent.action.action_id, position - 1));
  return { iteration: position + 1, previous: before?.output ?? null };
}

/** A template that the plan's own names are enough for, as the items of a fan-out. */
export function resolveIn(plan: Plan, scope: Scope, value: Json): Json {
  return resolveTemplates(value, { ...scope, ...NO_SECRETS, isServiceCall: isServiceCall(plan) }, templateNames(plan));
}

const secretsByAction = new WeakMap<Action, string[]>();

/** The secrets that the templates of an action name. */
export function secretsNamedBy(plan: Plan, planned: PlannedAction, literalFields: readonly string[]): string[] {
  const { action } = planned;
  const cached = secretsByAction.get(action);
  if (cached !== undefined) return cached;
  const references = referencesOf(action.config, namesFor(plan, planned), { literal: literalFields });
  const named = [...new Set(references.flatMap(({ kind, name }) => (kind === 'secret' ? [name] : [])))];
  secretsByAction.set(action, named);
  return named;
}

/** The input, with these secrets in it. Throws `template_unresolved`. */
export function resolveInput(
  { plan, planned }: { plan: Plan; planned: PlannedAction },
  scope: Scope,
  literalFields: readonly string[],
  secrets: ReadonlyMap<string, TaskSecret>,
): Json {
  const resolve = (value: Json) =>
    resolveTemplates(
      value,
      {
        ...scope,
        isServiceCall: isServiceCall(plan),
        secret: (name) => secrets.get(name)?.value,
      },
      namesFor(plan, planned),
    );
  const { config } = planned.action;
  if (literalFields.length === 0 || typeof config !== 'object' || config === null || Array.isArray(config)) {
    return resolve(config);
  }
  const input: JsonObject = {};
  for (const [key, value] of Object.entries(config)) input[key] = literalFields.includes(key) ? value : resolve(value);
  return input;
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
        ...NO_SECRETS,
      },
      templateNames(plan),
    );
  }
  return Object.fromEntries(sinkIds(plan).map((id) => [id, scope.outputs.get(id) ?? null]));
}

/** The actions whose outputs the output of the run is made of. */
export function outputsOfRun(plan: Plan): string[] {
  const { output } = plan.definition;
  return output === undefined ? sinkIds(plan) : actionsIn(output, templateNames(plan));
}

function sinkIds(plan: Plan): string[] {
  return plan.sinks.map((index) => plan.actions[index]?.action.action_id ?? '');
}
