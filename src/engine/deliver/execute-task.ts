/**
 * One delivery of one task, in the order that survives a crash between any two steps: look up what is committed,
 * decide, execute, commit, and only then release the dependents and end the job in BullMQ.
 */

import { actionAt } from '../../domain/graph/compile.ts';
import { endsRun } from '../../domain/graph/plan.ts';
import { type Decision, type Dependency, decide, type TaskState } from '../../domain/runs/decide.ts';
import { MAX_DELIVERIES, UNSUSPECTED_DELIVERIES } from '../../domain/runs/deliveries.ts';
import { hasItems, itemId, taskOf } from '../../domain/runs/parts.ts';
import { awaitsChildren } from '../children/hold-for-children.ts';
import { deferWhilePaused } from '../control/pause-run.ts';
import type { ChildStore } from '../ports/children.ts';
import type { Logger } from '../ports/logger.ts';
import type { Delivery, Disposition } from '../ports/queue.ts';
import type { Lookup, TaskRow } from '../ports/rows.ts';
import type { RunStore } from '../ports/runs.ts';
import type { TaskStore } from '../ports/tasks.ts';
import { CHECK_AFTER_ROUSE_MS } from '../recover/sleeping-runs.ts';
import type { EngineSpans } from '../tracing/span-export.ts';
import { releaseStale } from './acknowledge.ts';
import { type Attempt, attemptNumber, attemptOf, type FoundTask, type TaskJob } from './attempt.ts';
import { finalizeRun, NOT_READY_DELAY_MS } from './finalize-run.ts';
import { fieldsOfTask, withFields } from './log-fields.ts';
import { queueWaitMs } from './queue-wait.ts';
import { outputsNamedBy, outputsOfRun } from './resolve-input.ts';
import { cancelParent } from './run-parts.ts';
import { serveBackoff, serveDelay } from './serve-delay.ts';
import { acknowledge, acknowledgeOrLeave, commitDecision, commitFailure, park } from './settle-task.ts';
import { type StartDeps, startAttempt } from './start-attempt.ts';
import { waitForKey } from './wait-for-key.ts';

export interface ExecuteDeps extends StartDeps {
  children: ChildStore;
  tasks: TaskStore;
  runs: Pick<RunStore, 'statuses' | 'checkNow' | 'outputs' | 'finalize'>;
  worker: string;
  log: Logger;
  /** A fault of a store, and none of the task. Left out: there are none. */
  isPassing?(error: unknown): boolean;
  /** Called with the first delivery of each task, for metrics. */
  onPicked?(lane: string, waitedMs: number): void;
  /** For spans. */
  spans?: EngineSpans | undefined;
}

const EXTERNAL_ACTION = 'external';

export async function executeTask(base: ExecuteDeps, delivery: Delivery): Promise<Disposition> {
  const { data } = delivery;
  await base.failpoint('worker.afterPick');
  const plan = await base.plans.of(data.of);
  if (data.action_id === null) return finalizeRun(base, plan, data);
  const planned = taskOf(plan, data.action_id);
  if (planned === undefined) throw new Error(`${data.run_id} has no action '${data.action_id}'`);

  const job: TaskJob = { delivery, plan, planned };
  const found = await lookUp(base, job);
  const deps = withTaskLog(base, found, data.action_id);
  const { run } = found;
  const own = found.tasks.get(data.action_id);
  // The run is gone, or has been retried: this job is stale.
  if (run === undefined || run.epoch !== data.epoch) return releaseStale(deps, job);
  const task: FoundTask = { delivery, plan, planned, run, found };
  deps.spans?.delivered(delivery, run, planned);
  if (run.final) return acknowledge(deps, task);
  if (own?.final === true) {
    const open = openDependency(task);
    return open === undefined ? acknowledge(deps, task) : notReady(deps, task, open);
  }

  const waitedMs = queueWaitMs(delivery, own, found.tasks.values(), deps.now());
  if (waitedMs !== undefined) deps.onPicked?.(delivery.queue, waitedMs);
  const decision = decide(planned.action.run_if, dependenciesOf(job, found), run.status);
  if (decision.next === 'not_ready') return notReady(deps, task, decision.waitsFor);

  const token = await takeToken(deps, task, own);
  if (token === undefined) return acknowledgeOrLeave(deps, job);
  const attempt = attemptOf(task, run, token);
  if (token.deliveries > MAX_DELIVERIES) {
    const message = `delivered ${token.deliveries - 1} times without an outcome`;
    return commitFailure(deps, attempt, { code: 'worker_crashed', message });
  }
  const suspect = token.deliveries > UNSUSPECTED_DELIVERIES;
  return proceed(deps, attempt, decision, suspect).catch((error: unknown) => uncounted(deps, attempt, error));
}

/** It was released before what it waits for had ended: the queue has lost something of this run, or given it up. */
async function notReady(deps: ExecuteDeps, { run, planned }: FoundTask, waitsFor: string): Promise<Disposition> {
  const { action_id } = planned.action;
  deps.log.warn('task_not_ready', { run_id: run.id, action_id, waits_for: waitsFor });
  await deps.runs.checkNow(run.id);
  return { job: 'delay', untilMs: deps.now() + NOT_READY_DELAY_MS };
}

/** Of a manually settled action: its dependents wait for that too, or the last one would end the run before it. */
function openDependency(task: FoundTask): string | undefined {
  const { planned, found } = task;
  if (planned.item !== undefined || planned.compensates !== undefined) return undefined;
  return dependenciesOf(task, found).find(({ state }) => state?.final !== true)?.actionId;
}

async function proceed(
  deps: ExecuteDeps,
  attempt: Attempt,
  decision: Exclude<Decision, { next: 'not_ready' }>,
  suspect: boolean,
): Promise<Disposition> {
  const { run, planned } = attempt;
  if (decision.next === 'put_off') return deferWhilePaused(deps, attempt);
  if (decision.next === 'run') {
    const delayed = (await serveDelay(deps, attempt)) ?? (await serveBackoff(deps, attempt));
    if (delayed !== undefined) return delayed;
    if (run.status === 'waiting') await deps.reconcile.rouse(run.id, CHECK_AFTER_ROUSE_MS);
    return startAttempt(deps, attempt, suspect).catch((error: unknown) => waitForKey(deps, attempt, error));
  }
  if (decision.status === 'cancelled' && hasItems(planned.action)) return cancelParent(deps, attempt, decision.reason);
  // It is woken when they have ended.
  if (decision.status === 'cancelled' && (await awaitsChildren(deps, run, planned.action)))
    return park(deps, attempt, undefined);
  const { action_id: actionId, action_type: actionType, compensate } = planned.action;
  // Whoever leased it may have done it, and learns that nobody waits for the answer.
  const isOutside = decision.status === 'cancelled' && compensate !== undefined && actionType === EXTERNAL_ACTION;
  if (isOutside && (await deps.sagas.wasLeased(run.id, actionId, run.epoch)))
    return commitDecision(deps, { ...attempt, mayHaveRun: true }, decision);
  return commitDecision(deps, attempt, decision);
}

/** A delivery that a fault of a store ended says nothing of the task: however often that is, it is not given up for it. */
async function uncounted(deps: ExecuteDeps, attempt: Attempt, error: unknown): Promise<never> {
  if (deps.isPassing?.(error) === true) {
    const { run, planned, fence, delivery } = attempt;
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
export async function settleLostJob(base: ExecuteDeps, delivery: Delivery, reason: string): Promise<void> {
  const { data } = delivery;
  const plan = await base.plans.of(data.of);
  const planned = data.action_id === null ? undefined : taskOf(plan, data.action_id);
  // A lost finalizer is added again by the reconciler.
  if (planned === undefined) return base.runs.checkNow(data.run_id);
  const { action_id: actionId, action_type: actionType } = planned.action;
  const job: TaskJob = { delivery, plan, planned };
  const found = await lookUp(base, job);
  const deps = withTaskLog(base, found, actionId);
  const { run } = found;
  if (run === undefined || run.epoch !== data.epoch) return void (await releaseStale(deps, job));
  if (run.final) return;
  // Released too early: nothing may end before what it waits for.
  if (!dependenciesOf(job, found).every(({ state }) => state?.final)) return deps.runs.checkNow(run.id);
  const token = await deps.tasks.claim({ runId: run.id, epoch: run.epoch, actionId, actionType, worker: deps.worker });
  // Final by now: perhaps settled manually, and then nobody else releases its dependents.
  if (token === undefined) return void (await acknowledgeOrLeave(deps, job));
  const attempt = attemptOf({ ...job, found }, run, { fence: token.fence, mayHaveRun: false });
  await commitFailure(deps, attempt, { code: 'worker_crashed', message: reason });
}

/** From here on each line says of which attempt of which task it is. */
function withTaskLog(deps: ExecuteDeps, found: Lookup, actionId: string): ExecuteDeps {
  const { run } = found;
  if (run === undefined) return deps;
  const number = attemptNumber(found, actionId);
  return { ...deps, log: withFields(deps.log, () => fieldsOfTask(run, actionId, number)) };
}

/** The task itself, its dependencies, and the outputs that its templates, or the output of the run, are made of. */
function lookUp(deps: ExecuteDeps, { delivery, plan, planned }: TaskJob): Promise<Lookup> {
  const { run_id: runId, of } = delivery.data;
  const own = planned.action.action_id;
  const outputsOf = new Set(outputsNamedBy(plan, planned, deps.executor.literalFields(planned.action.action_type)));
  if (endsRun(plan, planned.index)) for (const id of outputsOfRun(plan)) if (id !== own) outputsOf.add(id);
  // An iteration sees the output of the one before it.
  const { item } = planned;
  if (item?.of.action.repeat !== undefined && item.position > 0) {
    outputsOf.add(itemId(item.of.action.action_id, item.position - 1));
  }
  const dependencies = planned.dependsOn.map((index) => actionAt(plan, index).action.action_id);
  // Whose the run is will only be known then; many tasks of one workflow, or of one type, are the next best thing.
  const party = 'workflow_id' in of ? of.workflow_id : of.action_type;
  return deps.tasks.lookup({ runId, actionIds: [own, ...dependencies], outputsOf: [...outputsOf], party });
}

function dependenciesOf({ plan, planned }: TaskJob, { tasks }: Lookup): Dependency[] {
  return planned.dependsOn.map((index) => {
    const { action_id: actionId } = actionAt(plan, index).action;
    return { actionId, state: stateOf(tasks.get(actionId)) };
  });
}

function stateOf(row: TaskRow | undefined): TaskState | undefined {
  if (row === undefined) return undefined;
  if (!row.final) return { final: false };
  if (row.status === 'failed') return { final: true, status: row.status, tolerated: row.tolerated };
  return { final: true, status: row.status };
}

/**
 * A clean first delivery needs no claim, and neither does one that a committed return announced. Every other one gets a
 * new token from PostgreSQL: BullMQ's counters cannot distinguish two holders of one attempt. undefined: final by now.
 */
async function takeToken(
  deps: ExecuteDeps,
  { delivery, run, planned }: FoundTask,
  own: TaskRow | undefined,
): Promise<{ fence: number; deliveries: number; mayHaveRun: boolean } | undefined> {
  const announced = own?.nextDelivery !== null && own?.nextDelivery === delivery.attemptsStarted;
  const first =
    delivery.attemptsStarted === delivery.attemptsMade + 1 && delivery.stalledCounter === 0 && delivery.data.gen === 0;
  // Pending: it was woken, or stored as an item or iteration of another task, before it started.
  const untouched = own === undefined || own.status === 'retrying' || own.status === 'pending';
  if (own !== undefined && announced) return { fence: own.fence, deliveries: own.deliveries, mayHaveRun: false };
  if (first && untouched) return { fence: own?.fence ?? 1, deliveries: own?.deliveries ?? 1, mayHaveRun: false };
  const { action_id: actionId, action_type: actionType } = planned.action;
  const token = await deps.tasks.claim({ runId: run.id, epoch: run.epoch, actionId, actionType, worker: deps.worker });
  // One that was only added again was in nobody's hands before.
  const wasTaken = delivery.stalledCounter > 0 || delivery.attemptsStarted > delivery.attemptsMade + 1;
  const wasExecuted = own?.status === 'running' || (wasTaken && own?.status !== 'waiting');
  return token === undefined ? undefined : { ...token, mayHaveRun: wasExecuted && !hasItems(planned.action) };
}
