/**
 * Runs that sleep: nothing of them runs, and all that could go on waits for somebody or for a time. Such a run is `waiting`
 * and no longer counts in the admission window; when it sleeps for longer its jobs are taken out of the queue, and it is added
 * again when it is due or was woken. That it sleeps is only noted: a delivery of one of its tasks makes it run again, so a
 * note that comes too late does no harm, and whoever takes it out of the queue checks again before and after.
 */

import { compileSegment, openSegment, taskJobId } from '../../domain/graph/compile.ts';
import type { Plan } from '../../domain/graph/plan.ts';
import { settledActions } from '../../domain/graph/settled.ts';
import { type Sleep, sleepOf } from '../../domain/runs/asleep.ts';
import { taskOf } from '../../domain/runs/parts.ts';
import { RUN_MOVES, type RunStatus } from '../../domain/runs/run-states.ts';
import { errorMessage } from '../../domain/texts/error-message.ts';
import { flowOfRun } from '../accept/flow-of-run.ts';
import type { Logger } from '../ports/logger.ts';
import type { JobState } from '../ports/queue.ts';
import type { Lookup, RunRow } from '../ports/rows.ts';
import type { RunStore } from '../ports/runs.ts';
import type { NewSleep, SleepStore } from '../ports/sleep.ts';
import { type AddAgainDeps, addAgain } from './add-again.ts';
import type { DispatchReport } from './dispatch.ts';
import { inBatches, logNotReconciled, onItsOwn, togetherOrAlone } from './run-by-run.ts';

export interface SleepingDeps extends AddAgainDeps {
  runs: AddAgainDeps['runs'] & Pick<RunStore, 'countInQueue' | 'statusesOf'>;
  reconcile: AddAgainDeps['reconcile'] & SleepStore;
  window: number;
  /** Between pieces of work that nobody waits for: see `restAsLong`. Left out: there is no rest. */
  rest?: ((startedAt: number) => Promise<void>) | undefined;
  log: Logger;
}

/** Until then a run that was roused is in the hands of whoever roused it. */
export const CHECK_AFTER_ROUSE_MS = 5_000;
/** Its job has come to rest by then. */
const CHECK_AFTER_FALL_MS = 2_000;
const RECHECK_MS = 30_000;
/** It takes a moment until the queue delivers what is due. */
const LATE_MS = 5_000;
/** Shorter sleeps stay in the queue, which wakes them to the millisecond. */
const SHORTEST_APART_MS = 30_000;
/** A run with more tasks asleep at a time stays in the queue: each that is woken would bring all of them back. */
const MOST_TASKS_APART = 20;
const PER_PAGE = 500;
const PAGES_PER_PASS = 20;
/** While it goes on no other pass of the reconciler starts. */
const SLEEPER_PAGES_PER_PASS = 4;
const LEAVE_TOGETHER = 20;
/** A run may have many tasks. */
const NOTED_TOGETHER = 50;
/** Runs that were started have as much room in the queue again as new ones. */
const WINDOWS = 2;

type FallAsleepDeps = Pick<SleepingDeps, 'plans' | 'log' | 'now'> & {
  runs: Pick<RunStore, 'statusesOf'>;
  reconcile: Pick<SleepStore, 'fallAsleep'>;
};

/** Checks runs of which something sleeps; those that sleep altogether are waiting from then on. Never rejects. */
export function createFallAsleep(deps: FallAsleepDeps): (runIds: readonly string[]) => Promise<void> {
  async function note(runIds: readonly string[]): Promise<void> {
    const sleeps: NewSleep[] = [];
    for (const found of (await deps.runs.statusesOf(runIds)).values()) {
      const { run } = found;
      if (run === undefined || run.status === 'waiting') continue;
      const sleep = sleepIn(deps, run, await deps.plans.of(run.of), found);
      if (sleep !== undefined) sleeps.push(newSleep(run, sleep));
    }
    if (sleeps.length > 0) await deps.reconcile.fallAsleep(sleeps);
  }
  return async (runIds) => {
    for (let at = 0; at < runIds.length; at += NOTED_TOGETHER) {
      await togetherOrAlone(runIds.slice(at, at + NOTED_TOGETHER), note, (runId, error) => {
        // The reconciler checks it as well.
        deps.log.warn('sleep_not_noted', { run_id: runId, error: errorMessage(error) });
      });
    }
  };
}

/** Undefined: it does not sleep, or ends. */
export async function fallAsleep(
  deps: Pick<FallAsleepDeps, 'now' | 'reconcile'>,
  run: RunRow,
  plan: Plan,
  found: Lookup,
): Promise<Sleep | undefined> {
  const sleep = sleepIn(deps, run, plan, found);
  // Already noted, unless it came back from a pause.
  if (sleep !== undefined && run.status !== 'waiting') await deps.reconcile.fallAsleep([newSleep(run, sleep)]);
  return sleep;
}

function newSleep({ id, epoch }: RunRow, sleep: Sleep): NewSleep {
  return { run: { id, epoch }, until: timeOf(sleep), forRun: sleep.forRun, checkAfterMs: CHECK_AFTER_FALL_MS };
}

/** One that waits already may sleep on, and for longer. */
const CAN_SLEEP: readonly RunStatus[] = [...RUN_MOVES.fallAsleep.from, 'waiting'];

function sleepIn(deps: Pick<FallAsleepDeps, 'now'>, { epoch, waitsForSlot }: RunRow, plan: Plan, found: Lookup) {
  const { run, tasks } = found;
  if (run === undefined || run.final || run.epoch !== epoch || waitsForSlot) return undefined;
  return CAN_SLEEP.includes(run.status) ? sleepOf(plan, tasks, deps.now()) : undefined;
}

function timeOf({ untilMs }: Sleep): Date | undefined {
  return untilMs === undefined ? undefined : new Date(untilMs);
}

/** Adds runs that are due to the queue again, before any that are new: what was started is finished first. */
export async function addDue(deps: SleepingDeps, report: DispatchReport): Promise<void> {
  for (let page = 0; page < PAGES_PER_PASS; page += 1) {
    const most = deps.window * WINDOWS;
    const room = most - (await deps.runs.countInQueue(most));
    if (room <= 0) return;
    const due = await deps.reconcile.takeDue(Math.min(room, PER_PAGE), CHECK_AFTER_ROUSE_MS);
    if (due.length > 0) await deps.failpoint('sleep.afterTake');
    await inBatches(due, async (run) => {
      await onItsOwn(deps, run, async () => {
        await addAgain(deps, run, run.gen);
        report.dispatched += 1;
      });
    });
    if (due.length < Math.min(room, PER_PAGE)) return;
  }
}

/** Takes those that sleep for longer out of the queue; nobody waits for that, so half of the time is left to others. */
export async function checkSleepers(deps: SleepingDeps): Promise<void> {
  for (let page = 0; page < SLEEPER_PAGES_PER_PASS; page += 1) {
    const sleepers = await deps.reconcile.takeSleepers(PER_PAGE, RECHECK_MS);
    for (let at = 0; at < sleepers.length; at += LEAVE_TOGETHER) {
      const startedAt = performance.now();
      await togetherOrAlone(
        sleepers.slice(at, at + LEAVE_TOGETHER),
        (some) => takeOut(deps, some),
        (run, error) => logNotReconciled(deps, run, error),
      );
      await deps.rest?.(startedAt);
    }
    if (sleepers.length < PER_PAGE) return;
  }
}

/** A run that may leave the queue, and what of it is there. */
interface Leaver {
  run: RunRow;
  until: Date | undefined;
  jobs: Array<{ queue: string; jobId: string }>;
}

async function takeOut(deps: SleepingDeps, runs: readonly RunRow[]): Promise<void> {
  const found = await deps.runs.statusesOf(runs.map(({ id }) => id));
  const leavers: Leaver[] = [];
  await inBatches(runs, (run) =>
    onItsOwn(deps, run, async () => {
      const leaver = await leaverOf(deps, run, found.get(run.id));
      if (leaver !== undefined) leavers.push(leaver);
    }),
  );
  if (leavers.length === 0) return;
  const marked = new Set(await deps.reconcile.leaveQueue(leavers));
  const gone = leavers.filter(({ run }) => marked.has(run.id));
  if (gone.length === 0) return;
  await deps.failpoint('sleep.afterMark');
  const removed = new Set<string>();
  await inBatches(gone, ({ run, jobs }) =>
    onItsOwn(deps, run, async () => {
      if (await deps.queue.removeTrees(jobs)) removed.add(run.id);
    }),
  );
  await deps.failpoint('sleep.afterRemove');
  const after = await deps.runs.statusesOf(gone.map(({ run }) => run.id));
  await inBatches(gone, ({ run }) =>
    onItsOwn(deps, run, async () => {
      const now = after.get(run.id)?.run;
      const isOut = removed.has(run.id) && now?.leftQueue === true && now.gen === run.gen;
      if (isOut || now === undefined || now.final) return;
      // It was woken in between: what was added for it may have been removed again.
      await addAgainAwake(deps, now);
    }),
  );
}

/** Undefined: it stays, and what is to be done about it has been done. */
async function leaverOf(deps: SleepingDeps, run: RunRow, found: Lookup | undefined): Promise<Leaver | undefined> {
  // It has left since it was taken.
  if (found === undefined || found.run?.leftQueue === true) return undefined;
  const plan = await deps.plans.of(run.of);
  const sleep = sleepIn(deps, run, plan, found);
  // Woken or due: its job is, or somebody died before he could make it so. The reconciler checks it.
  if (sleep === undefined || sleep.forRun) return void (await deps.reconcile.rouse(run.id, 0));
  const until = timeOf(sleep);
  const remainingMs = (sleep.untilMs ?? Number.POSITIVE_INFINITY) - deps.now();
  if (remainingMs < SHORTEST_APART_MS || sleep.tasks.length > MOST_TASKS_APART) {
    const againMs = Math.min(remainingMs + LATE_MS, 3_600_000);
    return void (await deps.reconcile.recheckAt(run.id, new Date(deps.now() + againMs), until));
  }
  const jobs = sleep.tasks.flatMap((actionId) => {
    const planned = taskOf(plan, actionId);
    if (planned === undefined) return [];
    return [{ queue: planned.action.action_type, jobId: taskJobId(run.id, run.epoch, actionId) }];
  });
  const states = await Promise.all(jobs.map(({ queue, jobId }) => deps.queue.state(queue, jobId)));
  // What the queue has lost is added again, as of any other run: what waits to be woken checks by itself.
  if (states.some((state) => LOST.includes(state))) return void (await addAgainAwake(deps, run));
  // Somebody has it, or will in a moment.
  if (states.some((state) => state !== 'delayed')) {
    return void (await deps.reconcile.recheckAt(run.id, new Date(deps.now() + RECHECK_MS), until));
  }
  const parts = jobs.filter((_, index) => plan.byId.get(sleep.tasks[index] ?? '') === undefined);
  return { run, until, jobs: [...rootsOf(deps, run, plan, found), ...parts] };
}

const LOST: readonly JobState[] = ['missing', 'completed', 'failed'];

async function addAgainAwake(deps: SleepingDeps, run: RunRow): Promise<void> {
  await deps.reconcile.rouse(run.id, CHECK_AFTER_ROUSE_MS);
  await addAgain(deps, run);
}

/** The jobs that are nobody's child, of what is left of the flow. */
function rootsOf(deps: Pick<SleepingDeps, 'now'>, run: RunRow, plan: Plan, { tasks }: Lookup) {
  const settled = settledActions(plan, (actionId) => tasks.get(actionId)?.final === true);
  const isFinal = (index: number) => settled.has(index);
  const flow = flowOfRun(run, run.gen, deps.now());
  return compileSegment(plan, openSegment(plan, isFinal), flow, { isFinal }).map(({ queue, jobId }) => ({
    queue,
    jobId,
  }));
}
