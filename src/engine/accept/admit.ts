/**
 * The fast path from a committed run to the queue. At most `window` runs are in BullMQ; beyond that, and whenever the
 * queue cannot be reached, a run stays pending in PostgreSQL and the dispatcher adds it later.
 */

import { roomForNewRuns } from '../../domain/fairness/fair-share.ts';
import { compileSegment, type FlowNode, jobsIn } from '../../domain/graph/compile.ts';
import { urgencyOf } from '../../domain/graph/job-priority.ts';
import { errorMessage } from '../../domain/texts/error-message.ts';
import type { DefinitionRef } from '../../schemas/job.ts';
import type { Failpoint } from '../ports/failpoint.ts';
import type { Logger } from '../ports/logger.ts';
import type { FlowQueue } from '../ports/queue.ts';
import type { RunStore } from '../ports/runs.ts';
import type { Fairness } from './fairness.ts';
import type { Plans } from './plans.ts';

export interface RunToAdmit {
  id: string;
  tenantId: string;
  of: DefinitionRef;
  priority: number;
  /** For spans. */
  traceId?: string | null;
  parentSpanId?: string | undefined;
  /** Of the run, not of a task. */
  timeoutSeconds?: number | undefined;
}

export interface Admission {
  /** Never throws: the runs are accepted already. */
  admit(runs: readonly RunToAdmit[]): Promise<void>;
}

export interface AdmitDeps {
  plans: Plans;
  runs: Pick<RunStore, 'markQueued' | 'markQueuedAhead' | 'checkNow' | 'windowUse'>;
  queue: FlowQueue;
  failpoint: Failpoint;
  window: number;
  fairness: Pick<Fairness, 'weightOf' | 'ranks'>;
  log: Logger;
  now(): number;
}

const SAMPLE_EVERY_MS = 1_000;
/**
 * After the queue did not answer a ping, requests do not wait for it again for a while. An add that took too long says nothing
 * of the queue: the flow may have been very large, which is no matter of others.
 */
const PAUSE_AFTER_FAULT_MS = 1_000;
/** What the dispatcher has not added by then has to wait for room. */
const BACKLOG_AGE_MS = 5_000;
const TENANTS_PER_QUERY = 100;
/**
 * Jobs of the flows of a request. To add more may take longer than the dispatcher leaves a run to the API, on a busy machine,
 * and a second add beside the first brings gates back under jobs that run by then.
 */
const MANY_JOBS = 200;

export function createAdmission(deps: AdmitDeps): Admission {
  const { ranks, weightOf } = deps.fairness;
  let waiting: readonly string[] = [];
  let inQueue = new Map<string, number>();
  let total = 0;
  let sampledAt = Number.NEGATIVE_INFINITY;
  let sampling: Promise<void> | undefined;
  /** Added, and not yet to be seen in the count; by tenant. */
  const unmarked = new Map<string, number>();
  let pausedUntil = Number.NEGATIVE_INFINITY;
  let pinging: Promise<boolean> | undefined;

  /** How full the window is: a cheap count now and then, and in between what this process has added. */
  async function sample(): Promise<void> {
    if (deps.now() - sampledAt < SAMPLE_EVERY_MS) return;
    if (sampling === undefined) {
      // What is marked while the count is made may be in neither.
      const before = new Map(unmarked);
      sampling = deps.runs
        .windowUse({ window: deps.window, olderThanMs: BACKLOG_AGE_MS, after: '', tenants: TENANTS_PER_QUERY })
        .then((use) => {
          waiting = use.waiting;
          inQueue = new Map(use.inQueue);
          for (const tenantId of new Set([...before.keys(), ...unmarked.keys()])) {
            addTo(inQueue, tenantId, Math.max(before.get(tenantId) ?? 0, unmarked.get(tenantId) ?? 0));
          }
          total = [...inQueue.values()].reduce((sum, count) => sum + count, 0);
          ranks.seen(inQueue);
          sampledAt = deps.now();
        })
        .finally(() => {
          sampling = undefined;
        });
    }
    await sampling;
  }

  /** One question for all that failed meanwhile. */
  function answers(): Promise<boolean> {
    pinging ??= deps.queue.ping().finally(() => {
      pinging = undefined;
    });
    return pinging;
  }

  function mark({ id, tenantId }: RunToAdmit): void {
    deps.runs
      .markQueued(id)
      .catch((error: unknown) => {
        deps.log.warn('run_not_marked_queued', {
          run_id: id,
          error: errorMessage(error),
        });
      })
      .finally(() => addTo(unmarked, tenantId, -1));
  }

  /** Those that there is room for; they are counted. */
  function takeIn(runs: readonly RunToAdmit[]): RunToAdmit[] {
    return runs.filter(({ tenantId }) => {
      if (roomForNewRuns(deps.window, { inQueue, total, waiting }, tenantId, weightOf) <= 0) return false;
      addTo(inQueue, tenantId, 1);
      total += 1;
      return true;
    });
  }

  return {
    async admit(runs) {
      let ahead: readonly RunToAdmit[] = [];
      try {
        if (deps.now() < pausedUntil) return;
        await sample();
        const admitted = takeIn(runs);
        const trees = await Promise.all(
          admitted.map(async ({ id, tenantId, of, priority, timeoutSeconds }) => {
            const rank = ranks.next(tenantId);
            const plan = await deps.plans.of(of);
            const urgency = urgencyOf(timeoutSeconds === undefined ? undefined : timeoutSeconds * 1_000, 0);
            return compileSegment(plan, 0, { runId: id, epoch: 1, gen: 0, priority, of, rank, urgency });
          }),
        );
        ahead = toMarkAhead(admitted, trees);
        if (ahead.length > 0) await deps.runs.markQueuedAhead(ahead.map(({ id }) => id));
        const traced = admitted.map((run) => ({ run, epoch: 1, gen: 0, segment: 0 }));
        await deps.queue.add(trees, traced);
        await deps.failpoint('api.afterAdd');
        const marked = new Set(ahead);
        const toMark = admitted.filter((run) => !marked.has(run));
        for (const { tenantId } of toMark) addTo(unmarked, tenantId, 1);
        for (const run of toMark) mark(run);
      } catch (error) {
        deps.log.warn('runs_left_to_dispatcher', {
          count: runs.length,
          error: errorMessage(error),
        });
        if (await answers()) return;
        pausedUntil = deps.now() + PAUSE_AFTER_FAULT_MS;
        // The dispatcher does not see them: the reconciler finds what is missing.
        await Promise.all(ahead.map(({ id }) => deps.runs.checkNow(id).catch(() => undefined)));
      }
    },
  };
}

/** Single jobs may be added twice; nothing depends on them. */
function toMarkAhead(admitted: readonly RunToAdmit[], trees: ReadonlyArray<readonly FlowNode[]>): RunToAdmit[] {
  const jobs = trees.map((some) => some.reduce((sum, tree) => sum + jobsIn(tree), 0));
  if (jobs.reduce((sum, count) => sum + count, 0) <= MANY_JOBS) return [];
  return admitted.filter((_, index) => (jobs[index] ?? 0) > 1);
}

function addTo(counts: Map<string, number>, tenantId: string, change: number): void {
  const count = (counts.get(tenantId) ?? 0) + change;
  if (count > 0) counts.set(tenantId, count);
  else counts.delete(tenantId);
}
