/** Dead letters: tasks that failed for good and wait until somebody retries their runs or lets them go. */

import type { RunStatus } from '../../domain/runs/run-states.ts';
import { RETRYABLE_STATUSES, type RetryDeps, reopen, reopenCompensations } from '../../engine/control/retry-run.ts';
import type { Caller } from '../../engine/ports/use-cases.ts';
import type { Json } from '../../schemas/json.ts';

export interface DeadLetter {
  runId: string;
  actionId: string;
  actionType: string;
  workflowId: string | null;
  workflowVersion: number | null;
  error: Json;
  attempts: number;
  epoch: number;
  runStatus: RunStatus;
  retryable: boolean;
  correlationId: string | null;
  traceId: string | null;
  finishedAt: Date;
}

export interface DeadLetterStats {
  failed: number;
  /** Of those. */
  retryable: number;
  /** They are not counted among the failed ones any more. */
  retried: number;
  oldest: Date | null;
  newest: Date | null;
}

export interface DeadLetterFilter {
  tasks?: ReadonlyArray<{ runId: string; actionId: string }> | undefined;
  actionType?: string | undefined;
  workflowId?: string | undefined;
  errorCode?: string | undefined;
  from?: Date | undefined;
  to?: Date | undefined;
  /** Only of runs that were retried fewer times. */
  retriedBelow?: number | undefined;
  /** Of the group of failures that they failed with. */
  fingerprint?: string | undefined;
}

/** Newest first; `after` is the last one of the page before. */
export interface DeadLetterWindow {
  limit: number;
  after: { failedAt: Date; runId: string; actionId: string } | undefined;
}

export interface DeadLetterStore {
  list(
    tenantId: string,
    filter: DeadLetterFilter,
    window: DeadLetterWindow,
    retryable: readonly RunStatus[],
  ): Promise<{ items: DeadLetter[]; total: number; more: boolean }>;
  stats(tenantId: string, retryable: readonly RunStatus[]): Promise<DeadLetterStats>;
  /** The runs with such tasks, those that have waited longest first, with the number of these tasks. */
  runsOf(
    tenantId: string,
    filter: DeadLetterFilter,
    retryable: readonly RunStatus[],
    limit: number,
  ): Promise<Array<{ runId: string; tasks: number }>>;
  count(tenantId: string, filter: DeadLetterFilter): Promise<number>;
  /** At most `limit`; resolves to how many. */
  discard(tenantId: string, filter: DeadLetterFilter, by: string, limit: number): Promise<number>;
}

export interface DeadLetters {
  list(
    caller: Caller,
    filter: DeadLetterFilter,
    window: DeadLetterWindow,
  ): Promise<{ items: DeadLetter[]; total: number; more: boolean }>;
  stats(caller: Caller): Promise<DeadLetterStats>;
  /** The runs go on in a new epoch; the dispatcher adds them at its pace. */
  retry(
    caller: Caller,
    filter: DeadLetterFilter,
    dryRun: boolean,
    /** Of runs. */
    limit?: number,
  ): Promise<{ retried: number; total: number; runs: number }>;
  discard(caller: Caller, filter: DeadLetterFilter, dryRun: boolean): Promise<{ discarded: number; total: number }>;
}

const RUNS_PER_REQUEST = 1_000;
const DISCARDED_PER_REQUEST = 10_000;
const AT_ONCE = 4;

export function createDeadLetters(deps: RetryDeps & { deadLetters: DeadLetterStore }): DeadLetters {
  const { deadLetters } = deps;

  async function retryRun(caller: Caller, runId: string): Promise<boolean> {
    const found = await deps.runs.statuses(runId);
    if (found.run?.status === 'compensation_failed')
      return (await reopenCompensations(deps, caller, found.run, undefined)) !== undefined;
    return (await reopen(deps, caller, found, { afterSeconds: 0 })) !== undefined;
  }

  return {
    list: (caller, filter, window) => deadLetters.list(caller.tenantId, filter, window, RETRYABLE_STATUSES),
    stats: (caller) => deadLetters.stats(caller.tenantId, RETRYABLE_STATUSES),
    async retry(caller, filter, dryRun, limit = RUNS_PER_REQUEST) {
      const total = await deadLetters.count(caller.tenantId, filter);
      const runs = await deadLetters.runsOf(caller.tenantId, filter, RETRYABLE_STATUSES, limit);
      let retried = 0;
      let count = 0;
      for (let at = 0; at < runs.length; at += AT_ONCE) {
        await Promise.all(
          runs.slice(at, at + AT_ONCE).map(async ({ runId, tasks }) => {
            if (!dryRun && !(await retryRun(caller, runId))) return;
            retried += tasks;
            count += 1;
          }),
        );
      }
      return { retried, total, runs: count };
    },
    async discard(caller, filter, dryRun) {
      const total = await deadLetters.count(caller.tenantId, filter);
      if (dryRun) return { discarded: Math.min(total, DISCARDED_PER_REQUEST), total };
      const discarded = await deadLetters.discard(caller.tenantId, filter, caller.userId, DISCARDED_PER_REQUEST);
      return { discarded, total };
    },
  };
}
