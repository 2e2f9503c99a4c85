/**
 * One pass of the dispatcher and the reconciler. The dispatcher adds runs that are committed but not in the queue; the
 * reconciler checks live runs now and then and adds again what the queue has lost. One process at a time does it.
 */
import { FINALIZER_QUEUE, finalizerJobId, taskJobId } from '../../domain/graph/compile.ts';
import type { Plan } from '../../domain/graph/plan.ts';
import { settledActions } from '../../domain/graph/settled.ts';
import { growingDelay } from '../../domain/health/system-faults.ts';
import { taskOf } from '../../domain/runs/parts.ts';
import { SAGA } from '../../domain/runs/saga.ts';
import { errorMessage } from '../../domain/texts/error-message.ts';
import { dispatchChildren } from '../children/admit-children.ts';
import { type CheckChildrenDeps, checkChildren } from '../children/check-children.ts';
import { endRun } from '../control/end-run.ts';
import { wakeRun } from '../control/wake-run.ts';
import { promoteWoken, wakeTasks } from '../deliver/wake-tasks.ts';
import type { ChildStore } from '../ports/children.ts';
import type { Logger } from '../ports/logger.ts';
import type { JobState } from '../ports/queue.ts';
import type { Lookup, RunRow } from '../ports/rows.ts';
import type { RunStore } from '../ports/runs.ts';
import type { TaskStore } from '../ports/tasks.ts';
import { addAgain } from './add-again.ts';
import { type CompensateLateDeps, compensateLate } from './compensate-late.ts';
import { type DispatchDeps, type DispatchReport, dispatch, isThrottled } from './dispatch.ts';
import { endOverdue } from './end-overdue.ts';
import { onItsOwn } from './run-by-run.ts';
import { addDue, checkSleepers, fallAsleep, type SleepingDeps } from './sleeping-runs.ts';

export interface ReconcileDeps extends DispatchDeps, CheckChildrenDeps {
  queue: DispatchDeps['queue'];
  children: ChildStore;
  tasks: Pick<TaskStore, 'wake'>;
  runs: DispatchDeps['runs'] & Pick<RunStore, 'endAbnormally' | 'countInQueue' | 'statusesOf'>;
  sagas: CompensateLateDeps['sagas'];
  /** A healthy run is checked this often. */
  checkEveryMs: number;
  /** Jobs that were missing in the last check, by run; passed on from pass to pass. */
  suspects: Map<string, string>;
  /** See `SleepingDeps`. */
  rest?: SleepingDeps['rest'] | undefined;
}

export interface ReconcileReport extends DispatchReport {
  checked: number;
  repaired: number;
}

const CHECK_PER_PASS = 500;
/** A cancelled run in which nothing runs is not waited for any longer. */
const CANCEL_TIMEOUT_MS = 30_000;
/** How often a run that is being cancelled is checked. */
const CANCEL_CHECK_MS = 1_000;
/**
 * A job is lost when it is missing twice, this far apart: between the commit of a task and the add of the next flow it
 * is missing too, and adding at the same time as that worker would bring gates back.
 */
const CONFIRM_AFTER_MS = 3_000;
/** Of a fan-out of thousands a few show whether it is there. */
const PROBES_PER_RUN = 20;

/** One pass; undefined when another process is at it. Rejects when a store is away: the next pass tries again. */
export function reconcileOnce(deps: ReconcileDeps): Promise<ReconcileReport | undefined> {
  return deps.reconcile.exclusively(async () => {
    await endOverdue(deps);
    await compensateLate(deps);
    // Commands would wait for the connection, and the lock of all processes with them.
    if (!(await deps.queue.ping())) throw new Error('the queue does not answer');
    if (await deps.queue.wasWiped()) {
      await deps.reconcile.checkAllNow();
      await deps.queue.markSeen();
    }
    const report = { dispatched: 0, checked: 0, repaired: 0, heldBack: false };
    // What was started is finished first.
    if (!(await isThrottled(deps, report))) {
      await addDue(deps, report);
      report.dispatched += await dispatchChildren(deps);
    }
    await dispatch(deps, report);
    for (const run of await deps.reconcile.takeToCheck(CHECK_PER_PASS, deps.checkEveryMs)) {
      await onItsOwn(deps, run, async () => {
        report.checked += 1;
        if (await check(deps, run, report)) report.repaired += 1;
      });
    }
    await checkSleepers(deps);
    return report;
  });
}

/** True when the run had to be repaired. */
async function check(deps: ReconcileDeps, run: RunRow, report: ReconcileReport): Promise<boolean> {
  const plan = await deps.plans.of(run.of);
  const found = await deps.runs.statuses(run.id);
  if (found.run === undefined || found.run.final || found.run.epoch !== run.epoch) return false;
  if (run.status === 'cancelling') {
    // What a saga has done is compensated by its finalizer.
    const abandoned = !plan.isSaga && (await isAbandoned(deps, run, found));
    const ended = abandoned && (await endRun(deps, run, plan));
    // A task may have gone to sleep in the very moment of the cancellation.
    await wakeRun(deps, plan, run.id, run.epoch);
    if (ended) return true;
    await deps.reconcile.checkAgain(run.id, CANCEL_CHECK_MS);
  }
  await checkChildren(deps, run, plan, found);
  const sleep = await fallAsleep(deps, run, plan, found);
  if (sleep !== undefined && !sleep.forRun) return false;
  // It goes on, and nothing of it is in the queue: it was cancelled, or resumed, while it slept.
  if (found.run.leftQueue) return !(await isThrottled(deps, report)) && addAgain(deps, run);
  await promoteWoken(deps, run, plan, found);
  const lost = await findLost(deps, run, plan, found);
  const suspected = deps.suspects.get(run.id);
  deps.suspects.delete(run.id);
  if (lost === undefined) return false;
  // While nothing may be added it stays suspected.
  if (suspected !== lost.jobId || (await isThrottled(deps, report))) {
    deps.suspects.set(run.id, lost.jobId);
    await deps.reconcile.checkAgain(run.id, CONFIRM_AFTER_MS);
    return false;
  }
  if (lost.state === 'delayed') {
    deps.log.warn('task_woken_again', { run_id: run.id, job_id: lost.jobId });
    await deps.queue.promote([lost]);
    return true;
  }
  deps.log.warn('run_added_again', { run_id: run.id, job_id: lost.jobId, state: lost.state });
  if (lost.partOf === undefined) return addAgain(deps, run);
  // The parent task adds all of its items or iterations to the queue again.
  await wakeTasks(deps, run, [{ actionId: lost.partOf, actionType: lost.queue }]);
  return true;
}

async function isAbandoned(deps: ReconcileDeps, run: RunRow, { tasks }: Lookup): Promise<boolean> {
  const running = [...tasks.values()].some(({ status }) => status === 'running');
  if (running || (await deps.children.openOf(run.id)).length > 0) return false;
  return (await deps.reconcile.cancellingForMs(run.id)) > CANCEL_TIMEOUT_MS;
}

interface LostJob {
  queue: string;
  jobId: string;
  /** The parent task of an item or iteration. */
  partOf?: string;
  /** Somebody executes it, or has started to. */
  isRunning: boolean;
}

/**
 * A job that should be on its way and is not: missing, ended without its outcome, blocked by what is final, or asleep
 * although its task runs. The last is what a queue without its newest writes makes of a task that slept and was woken.
 */
async function findLost(
  deps: ReconcileDeps,
  run: RunRow,
  plan: Plan,
  { tasks }: Lookup,
): Promise<(LostJob & { state: JobState }) | undefined> {
  const settled = settledActions(plan, (actionId) => tasks.get(actionId)?.final === true);
  const ready = plan.actions.filter(
    ({ index, dependsOn }) => !settled.has(index) && dependsOn.every((d) => settled.has(d)),
  );
  const jobs: LostJob[] = ready.map(({ action }) => ({
    queue: action.action_type,
    jobId: taskJobId(run.id, run.epoch, action.action_id),
    isRunning: tasks.get(action.action_id)?.status === 'running',
  }));
  for (const { actionId, status, final, released, parentId } of tasks.values()) {
    // The finalizer adds compensations to the queue again, whenever it runs.
    if (parentId === null || parentId === SAGA || final || !released) continue;
    const planned = taskOf(plan, actionId);
    if (planned === undefined) continue;
    const jobId = taskJobId(run.id, run.epoch, actionId);
    jobs.push({ queue: planned.action.action_type, jobId, partOf: parentId, isRunning: status === 'running' });
  }
  // Every action is final and the run is not: the finalizer is due, or the last commit's flow was lost.
  if (jobs.length === 0)
    jobs.push({ queue: FINALIZER_QUEUE, jobId: finalizerJobId(run.id, run.epoch), isRunning: false });
  const probes =
    jobs.length <= PROBES_PER_RUN ? jobs : [...jobs.slice(0, PROBES_PER_RUN / 2), ...jobs.slice(-PROBES_PER_RUN / 2)];
  const states = await Promise.all(probes.map(({ queue, jobId }) => deps.queue.state(queue, jobId)));
  const at = states.findIndex(
    (state, index) =>
      state === 'missing' ||
      state === 'completed' ||
      state === 'failed' ||
      state === 'waiting-children' ||
      (state === 'delayed' && probes[index]?.isRunning === true),
  );
  const state = states[at];
  const job = probes[at];
  return state === undefined || job === undefined ? undefined : { ...job, state };
}

/** Makes passes until the signal aborts. */
export function reconcileUntil(
  deps: ReconcileDeps,
  options: {
    everyMs: number;
    signal: AbortSignal;
    onPass?(report: ReconcileReport, durationMs: number): Promise<void> | void;
    random(): number;
  },
): Promise<void> {
  let wasThrottled = false;
  const pass = async () => {
    const from = performance.now();
    const report = await reconcileOnce(deps);
    if (report === undefined) return;
    await options.onPass?.(report, performance.now() - from);
    if (report.heldBack !== wasThrottled) deps.log.warn(report.heldBack ? 'sweep_held_back' : 'sweep_goes_on', report);
    wasThrottled = report.heldBack;
    if (report.dispatched > 0 || report.repaired > 0) deps.log.info('sweep', report);
  };
  return repeatUntil({ ...options, log: deps.log }, options.everyMs, 'sweep', pass);
}

export interface Background {
  /** The work ends when it aborts. */
  signal: AbortSignal;
  log: Logger;
  random?: (() => number) | undefined;
}

/** However short its round is, work that fails is done no more often than this at last; and no less often for a longer one. */
const MAX_DELAY_MS = 4_000;

/**
 * Does `work` again and again, about `everyMs` after its last end; its faults are logged, reported, and do not end the loop.
 * While it fails, pass after pass, the time between grows.
 */
export async function repeatUntil(
  { signal, log, random = Math.random }: Background,
  everyMs: number,
  name: string,
  work: () => Promise<unknown>,
): Promise<void> {
  let failures = 0;
  while (!signal.aborted) {
    try {
      await work();
      failures = 0;
      log.passed?.(name, undefined);
    } catch (error) {
      failures += 1;
      log.warn('background_work_failed', { work: name, error: errorMessage(error) });
      log.passed?.(name, error);
    }
    const delayMs = failures === 0 ? everyMs : growingDelay(failures, everyMs, Math.max(everyMs, MAX_DELAY_MS));
    // Apart from each other, so that many processes do not all knock at the same time.
    await pause(delayMs * (0.75 + random() / 2), signal);
  }
}

export function pause(milliseconds: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const done = () => {
      clearTimeout(timer);
      signal.removeEventListener('abort', done);
      resolve();
    };
    const timer = setTimeout(done, milliseconds);
    signal.addEventListener('abort', done, { once: true });
    if (signal.aborted) done();
  });
}
