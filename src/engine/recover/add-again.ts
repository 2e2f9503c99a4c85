/**
 * Every add of a run's jobs but the first: after a crash between commit and add, by the dispatcher, by the reconciler.
 * One procedure, in this order, because adding again is not harmless by itself: a gate that comes back under a running
 * job makes BullMQ fail it, one that comes back after the end stays for ever, and a failed child that is still stored hangs its parent.
 */

import {
  actionAt,
  compileSegment,
  FINALIZER_QUEUE,
  finalizerJobId,
  gatesOf,
  openSegment,
  taskJobId,
} from '../../domain/graph/compile.ts';
import type { Plan, PlannedAction } from '../../domain/graph/plan.ts';
import { settledActions } from '../../domain/graph/settled.ts';
import { remainingMs } from '../../domain/runs/asleep.ts';
import { flowOfRun } from '../accept/flow-of-run.ts';
import type { Plans } from '../accept/plans.ts';
import type { Failpoint } from '../ports/failpoint.ts';
import type { FlowQueue } from '../ports/queue.ts';
import type { ReconcileStore } from '../ports/reconcile.ts';
import type { Lookup, RunRow, TaskRow } from '../ports/rows.ts';
import type { RunStore } from '../ports/runs.ts';
import { tracedAdd } from '../tracing/span-export.ts';

export interface AddAgainDeps {
  plans: Plans;
  runs: Pick<RunStore, 'statuses'>;
  reconcile: Pick<ReconcileStore, 'raiseGen' | 'rouse'>;
  queue: FlowQueue;
  failpoint: Failpoint;
  now(): number;
}

/** `gen`: the add generation, where it was raised already; otherwise it is raised here. True when something was added. */
export async function addAgain(deps: AddAgainDeps, run: RunRow, gen?: number): Promise<boolean> {
  const newGen = gen ?? (await deps.reconcile.raiseGen(run.id, run.epoch));
  if (newGen === undefined) return false;
  const plan = await deps.plans.of(run.of);
  const found = await deps.runs.statuses(run.id);
  if (isOver(run, found)) {
    await deps.queue.removeGates(allGates(plan, run));
    return false;
  }
  const before = finalActions(plan, found);
  const segment = openSegment(plan, (index) => before.has(index));
  // One that has not started has waited for long enough: it comes before all that are new.
  const rank = before.size === 0 ? 0 : undefined;
  const flow = flowOfRun(run, newGen, deps.now(), rank);
  // A job that BullMQ gave up, though its task has no outcome, is still stored there and would keep the new one out.
  const ready = plan.actions.filter(
    ({ index, dependsOn }) => !before.has(index) && dependsOn.every((d) => before.has(d)),
  );
  const finalizer = { queue: FINALIZER_QUEUE, jobId: finalizerJobId(run.id, run.epoch) };
  await deps.failpoint('reconcile.afterRead');
  await deps.queue.removeEnded(ready.length === 0 ? [finalizer] : ready.map((planned) => jobOf(run, planned)));
  const soFar = { isFinal: (index: number) => before.has(index), sleepsMs: sleepsIn(found, deps.now()) };
  const trees = compileSegment(plan, segment, flow, soFar);
  await deps.queue.add([trees], [tracedAdd(run, newGen, segment)]);
  // One that slept in the queue all the same is not replaced: whoever took the run out of it may have died half way.
  const due = ready.filter(({ action }) => isDue(found.tasks.get(action.action_id), deps.now()));
  if (due.length > 0) await deps.queue.promote(due.map((planned) => jobOf(run, planned)));
  await deps.failpoint('reconcile.afterAdd');

  // What became final while the flow was added has had its gates removed before they came back.
  const after = await deps.runs.statuses(run.id);
  // Retried meanwhile: all that was added is of an epoch that is over, and its jobs end by themselves.
  if (isOver(run, after)) await deps.queue.removeGates(allGates(plan, run));
  const final = [...finalActions(plan, after)].map((index) => actionAt(plan, index));
  await deps.queue.removeGates(final.flatMap((planned) => gatesOf(plan, planned, run.id, run.epoch)));
  // On Redis a failed child that is still stored is a pending dependency again, whatever its task became.
  const jobs = final.filter((planned) => planned.segment === segment).map((planned) => jobOf(run, planned));
  const states = await Promise.all(jobs.map(({ queue, jobId }) => deps.queue.state(queue, jobId)));
  await deps.queue.removeEnded(jobs.filter((_, index) => states[index] === 'failed' || states[index] === 'missing'));
  // A queue without its newest writes lets a task sleep that was woken and has ended since, and what waits for it too.
  await deps.queue.promote(jobs.filter((_, index) => states[index] === 'delayed'));
  return true;
}

/**
 * What has a time of its own sleeps on until then. What waits to be woken is delivered and checks, in case nobody knows of a
 * wake; and so does everything once the run is to end.
 */
export function sleepsIn({ run, tasks }: Lookup, nowMs: number): (actionId: string) => number | undefined {
  return (actionId) => {
    const task = tasks.get(actionId);
    if (task === undefined || task.status === 'pending' || run?.status === 'cancelling') return undefined;
    const remaining = remainingMs(task, nowMs);
    return remaining === Number.POSITIVE_INFINITY ? 0 : remaining;
  };
}

/** It has slept, and does so no longer. */
function isDue(task: TaskRow | undefined, nowMs: number): boolean {
  const slept = task?.status === 'waiting' || task?.status === 'retrying';
  return task !== undefined && slept && remainingMs(task, nowMs) === 0;
}

/** The run is gone, or in another epoch than the one whose jobs are added. */
function isOver({ epoch }: RunRow, { run }: Lookup): boolean {
  return run === undefined || run.epoch !== epoch;
}

function allGates(plan: Plan, run: RunRow): string[] {
  return plan.actions.flatMap((planned) => gatesOf(plan, planned, run.id, run.epoch));
}

function jobOf(run: RunRow, { action }: PlannedAction): { queue: string; jobId: string } {
  return { queue: action.action_type, jobId: taskJobId(run.id, run.epoch, action.action_id) };
}

function finalActions(plan: Plan, { tasks }: Lookup): Set<number> {
  return settledActions(plan, (actionId) => tasks.get(actionId)?.final === true);
}
