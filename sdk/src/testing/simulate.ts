/** One run of a plan in virtual time. What becomes of a task is decided by the domain of the service; only actions are mocked. */
import { OrchestratorError, unreachable } from '../../../src/domain/errors.ts';
import type { Plan, PlannedAction } from '../../../src/domain/graph/plan.ts';
import { textsNaming } from '../../../src/domain/runs/compensation-input.ts';
import { type Dependency, decide } from '../../../src/domain/runs/decide.ts';
import { itemOf, localNames } from '../../../src/domain/runs/parts.ts';
import {
  actionsToCompensate,
  COMPENSATES,
  COMPENSATION_NAMES,
  compensationId,
  compensationOf,
  isEffectUnknown,
  readyToCompensate,
} from '../../../src/domain/runs/saga.ts';
import { hasTemplate } from '../../../src/domain/templates/template-syntax.ts';
import { resolveTemplates, type TemplateNames } from '../../../src/domain/templates/templates.ts';
import { evaluateCel } from '../../../src/expressions/evaluate-cel.ts';
import type { Json, JsonObject } from '../../../src/schemas/json.ts';
import { ACTION_NAMES } from '../generated/action-names.ts';
import { type AttemptsEnd, attemptAll, failureOf } from './attempts.ts';
import type { Mock, MockContext, TestRun, TestTask } from './shapes.ts';

export interface Simulation {
  plan: Plan;
  params: JsonObject;
  run: JsonObject;
  mocks: Readonly<Record<string, Mock>>;
  startMs: number;
}

interface Ended extends TestTask {
  output: Json;
  effectUnknown: boolean;
}

export async function simulate(world: Simulation): Promise<TestRun> {
  const { plan, startMs } = world;
  const tasks = new Map<string, Ended>();
  const open = new Set(plan.actions);
  while (open.size > 0) {
    const next = soonest(world, open, tasks);
    open.delete(next.planned);
    tasks.set(next.planned.action.action_id, await settle(world, tasks, next));
  }
  const hasFailed = plan.actions.some(({ action }) => {
    return action.on_failure !== 'continue' && tasks.get(action.action_id)?.status === 'failed';
  });
  const compensated = hasFailed && plan.isSaga ? await compensateAll(world, tasks) : undefined;
  const status = hasFailed ? (compensated ?? 'failed') : 'completed';
  const ends = [...tasks.values()].map(({ endedAt }) => endedAt.getTime());
  return {
    status,
    output: status === 'completed' ? outputOf(world, tasks) : null,
    tasks: Object.fromEntries([...tasks].map(([id, { effectUnknown: _, ...task }]) => [id, task])),
    startedAt: new Date(startMs),
    endedAt: new Date(Math.max(startMs, ...ends)),
  };
}

interface Next {
  planned: PlannedAction;
  atMs: number;
}

/** Of the actions whose dependencies have ended, the one that is due first. */
function soonest(
  { plan, startMs }: Simulation,
  open: ReadonlySet<PlannedAction>,
  tasks: ReadonlyMap<string, Ended>,
): Next {
  let found: Next | undefined;
  for (const planned of open) {
    const before = planned.dependsOn.map((index) => tasks.get(plan.actions[index]?.action.action_id ?? ''));
    if (before.some((task) => task === undefined)) continue;
    const ends = before.map((task) => task?.endedAt.getTime() ?? startMs);
    const atMs = Math.max(startMs, ...ends);
    if (found === undefined || atMs < found.atMs) found = { planned, atMs };
  }
  if (found === undefined) throw new Error('a plan has no cycles');
  return found;
}

async function settle(world: Simulation, tasks: ReadonlyMap<string, Ended>, next: Next): Promise<Ended> {
  const { planned, atMs } = next;
  const { action } = planned;
  const decision = decide(action.run_if, dependenciesOf(world.plan, planned, tasks), 'running');
  if (decision.next === 'end') return notRun(decision.status, atMs);
  if (decision.next !== 'run') throw new Error('all dependencies have ended');
  const startMs = atMs + (action.delay_seconds ?? 0) * 1_000;
  const scope = scopeOf(world, planned, tasks);
  try {
    if (action.when !== undefined && evaluate(action.when, scope.variables) !== true) return notRun('skipped', startMs);
  } catch (error) {
    return failed(conditionFailure(error), startMs);
  }
  if (action.for_each !== undefined) return fanOut(world, planned, { scope, startMs });
  if (action.repeat !== undefined) return loop(world, planned, { scope, startMs });
  return endOf(await attempt(world, planned, { scope, startMs, locals: {} }), startMs);
}

function dependenciesOf(plan: Plan, planned: PlannedAction, tasks: ReadonlyMap<string, Ended>): Dependency[] {
  return planned.dependsOn.map((index): Dependency => {
    const { action_id: actionId = '', on_failure: onFailure } = plan.actions[index]?.action ?? {};
    const { status = 'cancelled' } = tasks.get(actionId) ?? {};
    if (status === 'failed') return { actionId, state: { final: true, status, tolerated: onFailure === 'continue' } };
    return { actionId, state: { final: true, status } };
  });
}

interface Scope {
  outputs: Map<string, Json>;
  variables: Record<string, Json>;
}

function scopeOf({ params, run, plan }: Simulation, planned: PlannedAction, tasks: ReadonlyMap<string, Ended>): Scope {
  const ids = planned.dependsOn.map((index) => plan.actions[index]?.action.action_id ?? '');
  const outputs = new Map(ids.map((id) => [id, outputFor(tasks.get(id))]));
  const byId = Object.fromEntries(outputs);
  return { outputs, variables: { ...byId, outputs: byId, params, run } };
}

function outputFor(task: Ended | undefined): Json {
  return task?.status === 'completed' ? task.output : null;
}

function evaluate(expression: string, variables: Record<string, Json>): Json {
  const failure = (reason: string) => new OrchestratorError('expression_failed', `The expression failed: ${reason}`);
  try {
    const evaluated = evaluateCel(expression, variables);
    if ('value' in evaluated) return evaluated.value;
    throw failure(evaluated.fault);
  } catch (error) {
    throw error instanceof OrchestratorError ? error : failure((error as Error).message); // Of the library.
  }
}

interface Place {
  scope: Scope;
  startMs: number;
}

function attempt(
  world: Simulation,
  planned: PlannedAction,
  place: Place & { locals: JsonObject },
): Promise<AttemptsEnd> {
  const { action, item } = planned;
  const { scope, startMs, locals } = place;
  const names = namesOf(world.plan, planned);
  const literal = ACTION_NAMES[action.action_type]?.literal ?? [];
  const input = () => {
    const { config } = action;
    const resolve = (value: Json) => resolved(world, value, { outputs: scope.outputs, locals, names });
    if (literal.length === 0 || typeof config !== 'object' || config === null || Array.isArray(config))
      return resolve(config);
    const fields = Object.entries(config).map(([key, value]) => [key, literal.includes(key) ? value : resolve(value)]);
    return Object.fromEntries(fields) as JsonObject;
  };
  const own = item?.of.action.action_id ?? action.action_id;
  const builtIn = BUILT_IN[action.action_type]?.({ ...scope.variables, ...locals });
  // Null is an output too.
  const mock = [ownMock(world.mocks, own), ownMock(world.mocks, action.action_type), builtIn].find(
    (one) => one !== undefined,
  );
  if (mock === undefined) throw new TypeError(`no mock for the action '${own}' of type ${action.action_type}`);
  return attemptAll({ action, mock, runId: String(world.run['id']), startMs, input });
}

function ownMock(mocks: Readonly<Record<string, Mock>>, name: string): Mock | undefined {
  return Object.hasOwn(mocks, name) ? mocks[name] : undefined;
}

/** What needs nothing of outside does what it does in the service. */
const BUILT_IN: Readonly<Record<string, (variables: Record<string, Json>) => Mock>> = {
  transform: (variables) => (config: { expression?: string; outputs?: Record<string, string>; input?: Json }) => {
    const { expression, outputs = {}, input } = config;
    const seen = input === undefined ? variables : { ...variables, input };
    if (expression !== undefined) return evaluate(expression, seen);
    return Object.fromEntries(Object.entries(outputs).map(([name, one]) => [name, evaluate(one, seen)]));
  },
  wait: () => (config: { seconds?: number; until?: string }, context: MockContext) => {
    const { seconds = 0, until } = config;
    const ms = until === undefined ? seconds * 1_000 : Math.max(0, Date.parse(until) - context.now().getTime());
    context.sleep(ms);
    return { waited_until: context.now().toISOString() };
  },
};

function namesOf(plan: Plan, { action, item, compensates }: PlannedAction): TemplateNames {
  const names = {
    parameters: new Set(plan.definition.parameters.map(({ name }) => name)),
    actions: new Set(plan.byId.keys()),
  };
  const locals = compensates === undefined ? localNames(item?.of.action ?? action) : COMPENSATION_NAMES;
  return locals === undefined ? names : { ...names, locals };
}

function resolved(
  { plan, params, run }: Simulation,
  value: Json,
  { outputs, locals, names }: { outputs: ReadonlyMap<string, Json>; locals: JsonObject; names: TemplateNames },
): Json {
  const isServiceCall = (id: string) => plan.byId.get(id)?.action.action_type === 'service_call';
  // No secret is real here, and a mock need not have one.
  const secret = (name: string) => `secret:${name}`;
  return resolveTemplates(value, { params, run, outputs, locals, isServiceCall, secret }, names);
}

async function fanOut(world: Simulation, planned: PlannedAction, { scope, startMs }: Place): Promise<Ended> {
  const { for_each: forEach } = planned.action;
  if (forEach === undefined) return unreachable(forEach as never);
  let list: Json;
  try {
    const { items } = forEach;
    const isCel = typeof items === 'string' && !hasTemplate(items);
    const names = namesOf(world.plan, { ...planned, action: { ...planned.action, for_each: undefined } as never });
    list = isCel
      ? evaluate(items, scope.variables)
      : resolved(world, items, { outputs: scope.outputs, locals: {}, names });
  } catch (error) {
    return failed(failureOf(error), startMs);
  }
  if (!Array.isArray(list))
    return failed({ code: 'input_invalid', message: 'for_each.items must give a list' }, startMs);
  const slots = new Array<number>(Math.max(1, Math.min(forEach.max_parallel ?? list.length, list.length))).fill(
    startMs,
  );
  const parts: AttemptsEnd[] = [];
  let givenUpMs = Number.POSITIVE_INFINITY;
  for (const [position, item] of list.entries()) {
    const free = slots.indexOf(Math.min(...slots));
    const at = slots[free] ?? startMs;
    // What has not started when an item fails never does.
    if (forEach.on_item_failure === 'fail' && givenUpMs <= at && position >= slots.length) break;
    const locals = { item, item_index: position };
    const end = await attempt(world, itemOf(planned, position), { scope, startMs: at, locals });
    if (end.status === 'failed') givenUpMs = Math.min(givenUpMs, end.endedMs);
    slots[free] = end.endedMs;
    parts.push(end);
  }
  const endedMs = Math.max(startMs, ...slots);
  const shown = parts.map(({ status, attempts, output }) => ({ status, attempts, output }));
  const first = parts.findIndex(({ status }) => status === 'failed');
  const failure = parts[first]?.error;
  if (forEach.on_item_failure === 'fail' && failure !== undefined) {
    const message = `items did not complete: ${planned.action.action_id}[${first}] ${failure.code}: ${failure.message}`;
    return {
      ...failed({ code: 'item_failed', message }, startMs, endedMs),
      parts: shown,
      effectUnknown: happened(parts),
    };
  }
  return {
    ...completed(
      parts.map(({ output }) => output),
      startMs,
      endedMs,
    ),
    parts: shown,
  };
}

async function loop(world: Simulation, planned: PlannedAction, { scope, startMs }: Place): Promise<Ended> {
  const { repeat, action_id: id } = planned.action;
  if (repeat === undefined) return unreachable(repeat as never);
  const parts: AttemptsEnd[] = [];
  let atMs = startMs;
  let previous: Json = null;
  const ended = (task: Ended): Ended => ({
    ...task,
    parts: parts.map(({ status, attempts, output }) => ({ status, attempts, output })),
    effectUnknown: task.status === 'failed' && happened(parts),
  });
  for (let iteration = 1; ; iteration += 1) {
    const locals = { iteration, previous };
    const end = await attempt(world, itemOf(planned, iteration - 1), { scope, startMs: atMs, locals });
    parts.push(end);
    if (end.error !== undefined) {
      const error = { code: end.error.code, message: `iteration ${iteration}: ${end.error.message}` };
      return ended(failed(error, startMs, end.endedMs));
    }
    try {
      const seen = { ...scope.variables, [id]: end.output, output: end.output, iteration };
      if (evaluate(repeat.until, seen) === true) return ended(completed(end.output, startMs, end.endedMs));
    } catch (error) {
      return ended(failed(conditionFailure(error), startMs, end.endedMs));
    }
    if (iteration >= repeat.max_iterations) {
      const message = `repeat.until did not hold after ${iteration} iterations`;
      return ended(failed({ code: 'repeat_exhausted', message }, startMs, end.endedMs));
    }
    previous = end.output;
    atMs = end.endedMs + (repeat.delay_seconds ?? 0) * 1_000;
  }
}

function happened(parts: readonly AttemptsEnd[]): boolean {
  return parts.some(({ status, error }) => status === 'completed' || (error !== undefined && isEffectUnknown(error)));
}

function conditionFailure(error: unknown): { code: string; message: string } {
  const { code, message } = failureOf(error);
  return { code: code === 'expression_failed' ? 'condition_failed' : code, message };
}

/** Undefined: there was nothing to compensate. */
async function compensateAll(
  world: Simulation,
  tasks: Map<string, Ended>,
): Promise<'compensated' | 'compensation_failed' | undefined> {
  const { plan } = world;
  const all = actionsToCompensate(plan, (id) => tasks.get(id));
  if (all.length === 0) return undefined;
  const over = new Map<string, number>();
  const start = Math.max(...[...tasks.values()].map(({ endedAt }) => endedAt.getTime()));
  while (over.size < all.length) {
    const ready = readyToCompensate(plan, all, (id) => over.has(id));
    const startMs = Math.max(start, ...over.values());
    for (const done of ready) {
      const id = done.action.action_id;
      const task = tasks.get(id);
      if (task === undefined) throw new Error(`${id} has not ended`);
      const end = await compensateOne(world, done, { task, startMs });
      const { status, output, attempts, error, endedMs } = end;
      tasks.set(id, { ...task, compensation: { status, output, attempts, error } });
      over.set(id, endedMs);
    }
  }
  const isDone = [...tasks.values()].every(({ compensation }) => (compensation?.status ?? 'completed') === 'completed');
  return isDone ? 'compensated' : 'compensation_failed';
}

async function compensateOne(
  world: Simulation,
  done: PlannedAction,
  { task, startMs }: { task: Ended; startMs: number },
): Promise<AttemptsEnd> {
  const id = done.action.action_id;
  const planned = compensationOf(world.plan, compensationId(id));
  if (planned === undefined) throw new Error(`${id} has no compensation`);
  const isKnown = task.status === 'completed';
  const [text] = isKnown ? [] : textsNaming(planned.action.config, id, namesOf(world.plan, planned));
  if (text !== undefined) {
    const error = { code: 'effect_unknown', message: `nobody knows what '${id}' has brought about` };
    return { status: 'failed', output: null, error, attempts: 1, endedMs: startMs };
  }
  const effect = isKnown ? 'completed' : 'unknown';
  const key = `${String(world.run['id'])}.1.${id}`;
  const locals = { [COMPENSATES]: { action_id: id, idempotency_key: key, effect } };
  const scope = scopeOf(world, planned, new Map([[id, task]]));
  return attempt(world, planned, { scope, startMs, locals });
}

function outputOf(world: Simulation, tasks: ReadonlyMap<string, Ended>): Json {
  const { plan } = world;
  const outputs = new Map([...tasks].map(([id, task]) => [id, outputFor(task)]));
  const { output } = plan.definition;
  if (output === undefined) {
    const ids = plan.sinks.map((index) => plan.actions[index]?.action.action_id ?? '');
    return Object.fromEntries(ids.map((id) => [id, outputs.get(id) ?? null]));
  }
  const names = {
    parameters: new Set(plan.definition.parameters.map(({ name }) => name)),
    actions: new Set(plan.byId.keys()),
  };
  return resolved(world, output, { outputs, locals: {}, names });
}

function notRun(status: 'skipped' | 'upstream_failed' | 'cancelled', atMs: number): Ended {
  const ended = { output: null, error: undefined, attempts: 0, startedAt: undefined, endedAt: new Date(atMs) };
  return { status, ...ended, effectUnknown: false };
}

function failed(error: { code: string; message: string }, startMs: number, endedMs = startMs): Ended {
  const { code, message } = error;
  const end = { status: 'failed' as const, output: null, error: { code, message }, attempts: 1, endedMs };
  return endOf(end, startMs);
}

function completed(output: Json, startMs: number, endedMs: number): Ended {
  return endOf({ status: 'completed', output, error: undefined, attempts: 1, endedMs }, startMs);
}

function endOf({ endedMs, ...end }: AttemptsEnd, startMs: number): Ended {
  const effectUnknown = end.error !== undefined && isEffectUnknown(end.error);
  return { ...end, startedAt: new Date(startMs), endedAt: new Date(endedMs), effectUnknown };
}
