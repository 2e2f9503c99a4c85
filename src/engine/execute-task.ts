/**
 * One delivery of one task, in the order that survives a crash between any two steps: look up what is committed,
 * decide, execute, commit, and only then release the dependents and end the job in BullMQ.
 */
import { actionAt } from '../domain/compile.ts';
import { type Decision, type Dependency, decide, type TaskState } from '../domain/decide.ts';
import { describe, OrchestratorError } from '../domain/errors.ts';
import { redactSecrets } from '../domain/mask-secrets.ts';
import { hasParts, partId, taskOf } from '../domain/parts.ts';
import { endsRun, type Plan, type PlannedAction } from '../domain/plan.ts';
import { COMPENSATES, type Compensates } from '../domain/saga.ts';
import type { Json } from '../schemas/json.ts';
import { releaseLeftover } from './acknowledge.ts';
import { cacheKeyOf, findCached } from './cache.ts';
import type { ChildStore } from './child-ports.ts';
import { undoingOf } from './compensation-input.ts';
import { finalizeRun } from './finalize-run.ts';
import { type HoldDeps, holdsForChildren } from './hold-for-children.ts';
import { fieldsOfTask, withFields } from './log-fields.ts';
import { type Held, outcomeOf, storableInput } from './outcome.ts';
import { putOff } from './pause-run.ts';
import type {
  Control,
  Delivery,
  Disposition,
  Executor,
  Expressions,
  Logger,
  Lookup,
  RunRow,
  RunStore,
  TaskRow,
  TaskStore,
} from './ports.ts';
import { queueWaitMs } from './queue-wait.ts';
import { localsOf, outputsNamedBy, outputsOfRun, resolveInput, scopeOf, secretsNamedBy } from './resolve-input.ts';
import { runAdapter } from './run-adapter.ts';
import { cancelWhole, runWhole } from './run-parts.ts';
import type { KnownSecret } from './secret-ports.ts';
import type { SecretsOfTasks } from './secrets-of-tasks.ts';
import { serveDelay } from './serve-delay.ts';
import {
  acknowledge,
  acknowledgeOrLeave,
  commitDecision,
  commitFailure,
  commitSuccess,
  conclude,
  defer,
  park,
  type SettleDeps,
} from './settle-task.ts';
import { LOOK_AFTER_ROUSE_MS } from './sleeping-runs.ts';
import type { EngineSpans } from './span-export.ts';
import type { TaskLogs } from './task-logs.ts';
import type { TaskReports } from './task-reports.ts';
import { waitForKey } from './wait-for-key.ts';

export interface ExecuteDeps extends SettleDeps, HoldDeps {
  children: ChildStore;
  tasks: TaskStore;
  runs: Pick<RunStore, 'statuses' | 'nudge' | 'outputs' | 'finalize'>;
  executor: Executor;
  expressions: Expressions;
  control: Control;
  /** Aborted when this worker is to give back what it still has. */
  shutdown: AbortSignal;
  reports: TaskReports;
  logs: TaskLogs;
  secrets: Pick<SecretsOfTasks, 'of'>;
  worker: string;
  log: Logger;
  /** A fault of a store, and none of the task. Left out: there are none. */
  isPassing?(error: unknown): boolean;
  /** Told of the first delivery of each task, for metrics. */
  picked?(lane: string, waitedMs: number): void;
  /** For spans. */
  spans?: EngineSpans | undefined;
}

/** Deliveries of one attempt after which a task may be what ends its workers: from then on it runs alone. */
const UNSUSPECTED_DELIVERIES = 3;
/** After so many it is given up, whoever is to blame. */
const MAX_DELIVERIES = 10;
const NOT_READY_DELAY_MS = 1_000;
const EXTERNAL_ACTION = 'external';
const NO_SECRETS: ReadonlyMap<string, KnownSecret> = new Map();
const NOT_EXECUTED = { input: null, startedMono: null };

export async function executeTask(given: ExecuteDeps, delivery: Delivery): Promise<Disposition> {
  const { data } = delivery;
  await given.failpoint('worker.afterPick');
  const plan = await given.plans.of(data.of);
  if (data.action_id === null) return finalizeRun(given, plan, data);
  const planned = taskOf(plan, data.action_id);
  if (planned === undefined) throw new Error(`${data.run_id} has no action '${data.action_id}'`);

  const found = await lookUp(given, data, plan, planned);
  const deps = tellingTask(given, found, data.action_id);
  const { run } = found;
  const own = found.tasks.get(data.action_id);
  // The run is gone, or has been begun anew: this job is a leftover.
  if (run === undefined || run.epoch !== data.epoch) return releaseLeftover(deps, plan, planned, data);
  deps.spans?.delivered(delivery, run, planned);
  if (run.final) return acknowledge(deps, run, plan, planned, data);
  if (own?.final === true) {
    const open = openDependency(plan, planned, found);
    return open === undefined ? acknowledge(deps, run, plan, planned, data) : notReady(deps, run, planned, open);
  }

  const waitedMs = queueWaitMs(delivery, own, found.tasks.values(), deps.now());
  if (waitedMs !== undefined) deps.picked?.(delivery.queue, waitedMs);
  const decision = decide(planned.action.run_if, dependenciesOf(plan, planned, found), run.status);
  if (decision.next === 'not_ready') return notReady(deps, run, planned, decision.waitsFor);

  const token = await takeToken(deps, delivery, run, planned, own);
  if (token === undefined) return acknowledgeOrLeave(deps, data, plan, planned);
  const held: Held = { delivery, plan, planned, run, found, fence: token.fence, attempt: (own?.endedAttempt ?? 0) + 1 };
  if (token.mayHaveRun && !hasParts(planned.action)) held.mayHaveRun = true;
  if (token.deliveries > MAX_DELIVERIES) {
    const message = `delivered ${token.deliveries - 1} times without an outcome`;
    return commitFailure(deps, held, { code: 'worker_crashed', message }, null, null, []);
  }
  const suspect = token.deliveries > UNSUSPECTED_DELIVERIES;
  return proceed(deps, held, decision, suspect).catch((error: unknown) => uncounted(deps, held, error));
}

/** It was released before what it waits for had ended: the queue has lost something of this run, or given it up. */
async function notReady(
  deps: ExecuteDeps,
  run: RunRow,
  { action }: PlannedAction,
  waitsFor: string,
): Promise<Disposition> {
  deps.log.warn('task_not_ready', { run_id: run.id, action_id: action.action_id, waits_for: waitsFor });
  await deps.runs.nudge(run.id);
  return { job: 'delay', untilMs: deps.now() + NOT_READY_DELAY_MS };
}

/** Of an action that was settled by hand: its dependents wait for that too, or the last one would end the run before it. */
function openDependency(plan: Plan, planned: PlannedAction, found: Lookup): string | undefined {
  if (planned.part !== undefined || planned.undoes !== undefined) return undefined;
  return dependenciesOf(plan, planned, found).find(({ state }) => state?.final !== true)?.actionId;
}

async function proceed(
  deps: ExecuteDeps,
  held: Held,
  decision: Exclude<Decision, { next: 'not_ready' }>,
  suspect: boolean,
): Promise<Disposition> {
  const { run, planned } = held;
  if (decision.next === 'put_off') return putOff(deps, held);
  if (decision.next === 'run') {
    const delayed = await serveDelay(deps, held);
    if (delayed !== undefined) return delayed;
    if (run.status === 'waiting') await deps.sweep.rouse(run.id, LOOK_AFTER_ROUSE_MS);
    return begin(deps, held, suspect).catch((error: unknown) => waitForKey(deps, held, error));
  }
  if (decision.status === 'cancelled' && hasParts(planned.action)) return cancelWhole(deps, held, decision.reason);
  // It is woken when they have ended.
  if (decision.status === 'cancelled' && (await holdsForChildren(deps, run, planned.action)))
    return park(deps, held, undefined, NOT_EXECUTED);
  const { action_id: actionId, action_type: actionType, compensate } = planned.action;
  // Whoever leased it may have done it, and is told that nobody waits for the answer.
  const isOutside = decision.status === 'cancelled' && compensate !== undefined && actionType === EXTERNAL_ACTION;
  if (isOutside && (await deps.sagas.wasLeased(run.id, actionId, run.epoch))) held.mayHaveRun = true;
  return commitDecision(deps, held, decision);
}

/** A delivery that a fault of a store ended says nothing of the task: however often that is, it is not given up for it. */
async function uncounted(deps: ExecuteDeps, { run, planned, fence, delivery }: Held, error: unknown): Promise<never> {
  if (deps.isPassing?.(error) === true) {
    const { action_id: actionId } = planned.action;
    const nextDelivery = delivery.attemptsStarted + 1;
    // Where this fails too, nothing was claimed that could be counted, or the next one tries again.
    await deps.tasks
      .announce({ runId: run.id, epoch: run.epoch, actionId, fence, nextDelivery })
      .catch(() => undefined);
  }
  throw error;
}

/** BullMQ has given the job up (it stalled too often): its task ends here, so that the run goes on at once. */
export async function settleLostJob(given: ExecuteDeps, delivery: Delivery, reason: string): Promise<void> {
  const { data } = delivery;
  const plan = await given.plans.of(data.of);
  const planned = data.action_id === null ? undefined : taskOf(plan, data.action_id);
  // A lost finalizer is added again by the reconciler.
  if (planned === undefined) return given.runs.nudge(data.run_id);
  const { action_id: actionId, action_type: actionType } = planned.action;
  const found = await lookUp(given, data, plan, planned);
  const deps = tellingTask(given, found, actionId);
  const { run } = found;
  if (run === undefined || run.epoch !== data.epoch) return void (await releaseLeftover(deps, plan, planned, data));
  if (run.final) return;
  // Released too early: nothing may end before what it waits for.
  if (!dependenciesOf(plan, planned, found).every(({ state }) => state?.final)) return deps.runs.nudge(run.id);
  const token = await deps.tasks.claim({ runId: run.id, epoch: run.epoch, actionId, actionType, worker: deps.worker });
  // Final by now: perhaps settled by hand, and then nobody else releases its dependents.
  if (token === undefined) return void (await acknowledgeOrLeave(deps, data, plan, planned));
  const attempt = (found.tasks.get(actionId)?.endedAttempt ?? 0) + 1;
  const held: Held = { delivery, plan, planned, run, found, fence: token.fence, attempt };
  await commitFailure(deps, held, { code: 'worker_crashed', message: reason }, null, null, []);
}

/** From here on each line says of which attempt of which task it is. */
function tellingTask(deps: ExecuteDeps, { run, tasks }: Lookup, actionId: string): ExecuteDeps {
  if (run === undefined) return deps;
  const attempt = (tasks.get(actionId)?.endedAttempt ?? 0) + 1;
  return { ...deps, log: withFields(deps.log, () => fieldsOfTask(run, actionId, attempt)) };
}

/** The task itself, its dependencies, and the outputs that its templates, or the output of the run, are made of. */
function lookUp(
  deps: ExecuteDeps,
  { run_id: runId, of }: Delivery['data'],
  plan: Plan,
  planned: PlannedAction,
): Promise<Lookup> {
  const own = planned.action.action_id;
  const outputsOf = new Set(outputsNamedBy(plan, planned, deps.executor.literalFields(planned.action.action_type)));
  if (endsRun(plan, planned.index)) for (const id of outputsOfRun(plan)) if (id !== own) outputsOf.add(id);
  // An iteration sees the output of the one before it.
  const { part } = planned;
  if (part?.of.action.repeat !== undefined && part.position > 0) {
    outputsOf.add(partId(part.of.action.action_id, part.position - 1));
  }
  const dependencies = planned.dependsOn.map((index) => actionAt(plan, index).action.action_id);
  // Whose the run is will only be known then; many tasks of one workflow, or of one type, are the next best thing.
  const party = 'workflow_id' in of ? of.workflow_id : of.action_type;
  return deps.tasks.lookup({ runId, actionIds: [own, ...dependencies], outputsOf: [...outputsOf], party });
}

function dependenciesOf(plan: Plan, planned: PlannedAction, { tasks }: Lookup): Dependency[] {
  return planned.dependsOn.map((index) => {
    const { action_id: actionId } = actionAt(plan, index).action;
    return { actionId, state: stateOf(tasks.get(actionId)) };
  });
}

function stateOf(row: TaskRow | undefined): TaskState | undefined {
  if (row === undefined) return undefined;
  if (!row.final) return { final: false };
  switch (row.status) {
    case 'failed':
      return { final: true, status: 'failed', tolerated: row.tolerated };
    case 'completed':
    case 'skipped':
    case 'cancelled':
    case 'upstream_failed':
      return { final: true, status: row.status };
    default:
      return { final: false };
  }
}

/**
 * A clean first delivery needs no claim, and neither does one that a committed return announced. Every other one gets a
 * new token from PostgreSQL: BullMQ's counters cannot tell two holders of one attempt apart. undefined: final by now.
 */
async function takeToken(
  deps: ExecuteDeps,
  delivery: Delivery,
  run: RunRow,
  { action }: PlannedAction,
  own: TaskRow | undefined,
): Promise<{ fence: number; deliveries: number; mayHaveRun: boolean } | undefined> {
  const announced = own?.nextDelivery !== null && own?.nextDelivery === delivery.attemptsStarted;
  const first =
    delivery.attemptsStarted === delivery.attemptsMade + 1 && delivery.stalledCounter === 0 && delivery.data.gen === 0;
  // Pending: it was woken, or written down as a part of another task, before it began.
  const untouched = own === undefined || own.status === 'retrying' || own.status === 'pending';
  if (own !== undefined && announced) return { fence: own.fence, deliveries: own.deliveries, mayHaveRun: false };
  if (first && untouched) return { fence: own?.fence ?? 1, deliveries: own?.deliveries ?? 1, mayHaveRun: false };
  const { action_id: actionId, action_type: actionType } = action;
  const token = await deps.tasks.claim({ runId: run.id, epoch: run.epoch, actionId, actionType, worker: deps.worker });
  // One that was only added again was in nobody's hands before.
  const wasTaken = delivery.stalledCounter > 0 || delivery.attemptsStarted > delivery.attemptsMade + 1;
  const mayHaveRun = own?.status === 'running' || (wasTaken && own?.status !== 'waiting');
  return token === undefined ? undefined : { ...token, mayHaveRun };
}

/** The task is to run: its condition, its input, its adapter. */
async function begin(deps: ExecuteDeps, held: Held, suspect: boolean): Promise<Disposition> {
  const { plan, planned, run, found } = held;
  const { action, part } = planned;
  const literal = deps.executor.literalFields(action.action_type);
  let scope = scopeOf(run, found, outputsNamedBy(plan, planned, literal));
  let locals = localsOf(planned, found, found.tasks.get(action.action_id));
  let compensates: Compensates | undefined;
  if (planned.undoes !== undefined) {
    try {
      const undoing = await undoingOf(deps.sagas, held, planned.undoes, scope.outputs);
      compensates = undoing.compensates;
      scope = { ...scope, outputs: undoing.outputs };
      locals = { [COMPENSATES]: { ...compensates } };
    } catch (error) {
      if (!(error instanceof OrchestratorError) || error.code !== 'effect_unknown') throw error;
      return commitFailure(deps, held, { code: error.code, message: error.message }, null, null, []);
    }
  }
  const outputs = Object.fromEntries(scope.outputs);
  const variables = { ...outputs, outputs, params: scope.params, run: scope.run };
  let known: ReadonlyMap<string, KnownSecret> = NO_SECRETS;
  let resolved: Json;
  try {
    if (action.when !== undefined && (await deps.expressions.evaluate(action.when, variables, run)) !== true) {
      return commitDecision(deps, held, { next: 'end', status: 'skipped', reason: `when is not true: ${action.when}` });
    }
    if (hasParts(action)) return await runWhole(deps, held, scope, variables);
    const inScope = { ...scope, locals };
    const named = secretsNamedBy(plan, planned, literal);
    if (named.length > 0) known = await deps.secrets.of(run.tenantId, named);
    resolved = resolveInput(plan, planned, inScope, literal, known);
    if (action.cache !== undefined) held.cacheKey = cacheKeyOf(plan, planned, run, inScope);
  } catch (error) {
    if (!(error instanceof OrchestratorError)) throw error;
    if (error.code === 'expressions_busy') return defer(deps, held);
    const code = error.code === 'expression_failed' ? 'condition_failed' : error.code;
    const failure = { code, message: error.message, retryable: describe(error.code).retryable };
    return conclude(deps, held, { result: 'failure', failure }, null, performance.now(), []);
  }

  const secrets = [...known.values()].map(({ value }) => value);
  const input = storableInput(redactSecrets(resolved, secrets), deps.maxOutputBytes, run);
  const startedMono = performance.now();
  const cached = await findCached(deps, held);
  if (cached !== undefined) return commitSuccess(deps, held, cached, input, startedMono, true);
  const { action_id: actionId, heartbeat_timeout_seconds: heartbeatSeconds } = action;
  const { epoch, id: runId } = run;
  const task = { tenantId: run.tenantId, runId, actionId, epoch, attempt: held.attempt };
  const reports = deps.reports.open({ ...task, fence: held.fence }, secrets);
  const logs = deps.logs.open(task);
  const result = await runAdapter(deps, {
    actionType: action.action_type,
    input: resolved,
    secrets: [...known.values()],
    timeoutMs: action.timeout_seconds * 1000,
    heartbeatMs: heartbeatSeconds === undefined ? undefined : heartbeatSeconds * 1000,
    reports,
    logs,
    trust: held.delivery.trust,
    idempotencyKey: `${run.id}.${run.epoch}.${action.action_id}`,
    attempt: held.attempt,
    run,
    actionId: action.action_id,
    priority: action.priority ?? run.priority,
    ...(compensates === undefined ? {} : { compensates }),
    scope: { params: scope.params, run: scope.run, outputs, ...(part === undefined ? {} : { locals }) },
    wakeAt: found.tasks.get(action.action_id)?.wakeAt ?? undefined,
    suspect,
    onSlow: () =>
      deps.tasks.markRunning(
        outcomeOf(deps, held, { status: 'waiting', final: false, ended: false, input, startedMono }),
      ),
  });
  logs.close();
  // Readers have the last of it before they hear of the end.
  const said = reports.close();
  if (said !== undefined) await said;
  await deps.failpoint('worker.afterExecute');
  if (result.result === 'cancelled' && (await holdsForChildren(deps, run, action)))
    return park(deps, held, undefined, { input, startedMono });
  return conclude(deps, held, result, input, startedMono, secrets);
}
