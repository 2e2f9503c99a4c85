/**
 * The dispatcher: adds runs that are committed and wait in PostgreSQL, as far as the window has room, so that no tenant
 * waits for the backlog of another. Those that the API has only just accepted are left to it.
 */

import { inOrderOfSlots, shareOut } from '../../domain/fairness/fair-share.ts';
import { isQueueFull, type QueueUse } from '../../domain/fairness/queue-room.ts';
import { compileSegment, type FlowNode } from '../../domain/graph/compile.ts';
import type { Fairness } from '../accept/fairness.ts';
import { flowOfRun } from '../accept/flow-of-run.ts';
import type { Logger } from '../ports/logger.ts';
import type { ReconcileStore } from '../ports/reconcile.ts';
import type { RunRow } from '../ports/rows.ts';
import type { RunStore } from '../ports/runs.ts';
import { tracedAdd } from '../tracing/span-export.ts';
import { type AddAgainDeps, addAgain } from './add-again.ts';
import { inBatches, onItsOwn } from './run-by-run.ts';

export interface DispatchDeps extends AddAgainDeps {
  runs: Pick<RunStore, 'statuses' | 'startedAmong' | 'markQueued' | 'windowUse'>;
  reconcile: ReconcileStore;
  window: number;
  fairness: Fairness;
  /** The share of its memory that the queue's store uses. */
  queueUse(): Promise<QueueUse | undefined>;
  log: Logger;
}

export interface DispatchReport {
  dispatched: number;
  /** The store of the queue is nearly full: nothing was added. */
  heldBack: boolean;
}

/** Younger pending runs are left to the API that accepted them. */
export const PENDING_AGE_MS = 2_000;
const DISPATCH_PER_PAGE = 500;
const PAGES_PER_PASS = 20;
const TENANTS_PER_QUERY = 1_000;

/** With a long backlog the pace is the queue's, not that of the passes. */
export async function dispatch(deps: DispatchDeps, report: DispatchReport): Promise<void> {
  await deps.reconcile.releaseDue();
  if ((await deps.reconcile.giveSlots()) > 0) await deps.failpoint('places.afterGive');
  for (let page = 0; page < PAGES_PER_PASS; page += 1) {
    if (await isThrottled(deps, report)) return;
    if ((await dispatchPage(deps, report)) === 0) return;
  }
}

/** How many runs were there to be added. */
async function dispatchPage(deps: DispatchDeps, report: DispatchReport): Promise<number> {
  const { fairness, window } = deps;
  const use = await deps.runs.windowUse({
    window,
    olderThanMs: PENDING_AGE_MS,
    after: fairness.after,
    tenants: TENANTS_PER_QUERY,
  });
  fairness.after = use.waiting.length < TENANTS_PER_QUERY ? '' : (use.waiting.at(-1) ?? '');
  fairness.ranks.seen(use.inQueue);
  const { grants, order, progress } = shareOut(window, DISPATCH_PER_PAGE, use, fairness);
  fairness.progress = progress;
  if (grants.size === 0) return 0;
  const taken = await deps.reconcile.takePending(grants, PENDING_AGE_MS);
  const pending = inOrderOfSlots(order, taken.sort(inOrder));
  const again = await addNew(deps, pending, report);
  await inBatches(again, (run) =>
    onItsOwn(deps, run, async () => {
      await addAgain(deps, run, run.gen);
      await deps.runs.markQueued(run.id, run.epoch);
      report.dispatched += 1;
    }),
  );
  return pending.length;
}

function inOrder(a: RunRow, b: RunRow): number {
  const byDeadline = deadlineOf(a) - deadlineOf(b);
  const byAge = a.createdAt.getTime() - b.createdAt.getTime();
  return a.priority - b.priority || byDeadline || byAge || (a.id < b.id ? -1 : 1);
}

function deadlineOf({ deadlineAt }: RunRow): number {
  return deadlineAt?.getTime() ?? Number.MAX_SAFE_INTEGER;
}

/**
 * Runs of which nothing has started, and that the dispatcher takes for the first time, are added together: nothing of them
 * is final, so there is nothing to leave out and no gate to remove. That is checked again when they have been added,
 * because the API may have added one before it could say so. Resolves to the others, which are added one by one.
 */
async function addNew(deps: DispatchDeps, pending: readonly RunRow[], report: DispatchReport): Promise<RunRow[]> {
  const untouched = pending.filter(({ gen }) => gen === 1);
  const started = await deps.runs.startedAmong(untouched.map(({ id }) => id));
  const trees: FlowNode[][] = [];
  const added: RunRow[] = [];
  for (const run of untouched.filter(({ id }) => !started.has(id))) {
    const plan = await deps.plans.of(run.of).catch(() => undefined);
    // It says what is wrong when it is tried on its own.
    if (plan === undefined) continue;
    const rank = deps.fairness.ranks.next(run.tenantId);
    trees.push(compileSegment(plan, 0, flowOfRun(run, run.gen, deps.now(), rank)));
    added.push(run);
  }
  const traced = added.map((run) => tracedAdd(run, run.gen, 0));
  await deps.queue.add(trees, traced);
  const since = await deps.runs.startedAmong(added.map(({ id }) => id));
  const done = added.filter(({ id }) => !since.has(id));
  await Promise.all(done.map(({ id, epoch }) => deps.runs.markQueued(id, epoch)));
  report.dispatched += done.length;
  const isDone = new Set(done);
  return pending.filter((run) => !isDone.has(run));
}

export async function isThrottled(
  deps: Pick<DispatchDeps, 'queueUse'>,
  report: Pick<DispatchReport, 'heldBack'>,
): Promise<boolean> {
  report.heldBack = isQueueFull(await deps.queueUse());
  return report.heldBack;
}
