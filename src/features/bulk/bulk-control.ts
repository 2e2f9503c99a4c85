/** Cancels or retries many runs by a filter, one by one; before that, says how many, whose, and what would act again. */
import { OrchestratorError } from '../../domain/errors.ts';
import { describeReopened, toReopen } from '../../domain/runs/reopen.ts';
import { RUN_MOVES } from '../../domain/runs/run-states.ts';
import { RETRYABLE_STATUSES, type RetryDeps, reopen } from '../../engine/control/retry-run.ts';
import type { RunReader } from '../../engine/ports/read-models.ts';
import type { RunSummary } from '../../engine/ports/run-views.ts';
import type { BulkControl, BulkFilter, BulkReport, Caller, CancelRuns } from '../../engine/ports/use-cases.ts';

export interface BulkDeps extends Pick<RetryDeps, 'plans' | 'retries' | 'runs'> {
  cancel: Pick<CancelRuns, 'cancelRun'>;
  reader: Pick<RunReader, 'list'>;
  isIdempotent(actionType: string): boolean;
}

/** What one request does; the oldest of a longer list are for the next. */
const RUNS_PER_REQUEST = 1_000;
const AT_ONCE = 4;

type Verb = 'cancel' | 'retry';

export function createBulkControl(deps: BulkDeps): BulkControl {
  async function find(
    caller: Caller,
    verb: Verb,
    { executionIds, ...filter }: BulkFilter,
  ): Promise<{ items: RunSummary[]; total: number }> {
    const possible = verb === 'cancel' ? RUN_MOVES.cancel.from : RETRYABLE_STATUSES;
    const query = { ...filter, statuses: possible, ...(executionIds === undefined ? {} : { ids: executionIds }) };
    return deps.reader.list(caller.tenantId, query, { limit: RUNS_PER_REQUEST, skip: 0, after: undefined });
  }

  /** Actions that would be cancelled, or done again; of those, what would act once more. */
  async function inspect(verb: Verb, { id: runId }: RunSummary) {
    const { run, tasks } = await deps.runs.statuses(runId);
    if (run === undefined) return undefined;
    const plan = await deps.plans.of(run.of);
    if (verb === 'cancel') {
      return { actions: plan.actions.filter(({ action }) => !tasks.get(action.action_id)?.final).length, again: [] };
    }
    const ids = toReopen(plan, (id) => tasks.get(id)?.status);
    const described = describeReopened(plan, ids, (id) => tasks.get(id), deps.isIdempotent);
    return { actions: ids.length, again: described.filter(({ acts_again }) => acts_again) };
  }

  async function carryOutOne(caller: Caller, verb: Verb, runId: string, reason: string | undefined): Promise<boolean> {
    if (verb === 'retry') {
      const found = await deps.runs.statuses(runId);
      // The dispatcher adds them at its pace.
      return (await reopen(deps, caller, found, { afterSeconds: 0, reason })) !== undefined;
    }
    try {
      await deps.cancel.cancelRun(caller, runId, reason);
      return true;
    } catch (error) {
      // It ended by itself in the meantime.
      if (error instanceof OrchestratorError && error.code === 'already_final') return false;
      throw error;
    }
  }

  return {
    async plan(caller, verb, filter) {
      const { items, total } = await find(caller, verb, filter);
      const report: BulkReport = {
        matched: total,
        runs: items.length,
        actions: 0,
        users: {},
        workflows: {},
        actsAgain: [],
      };
      const users = new Map<string, number>();
      const workflows = new Map<string, number>();
      const again = new Map<string, BulkReport['actsAgain'][number]>();
      await inBatches(items, async (item) => {
        const seen = await inspect(verb, item);
        if (seen === undefined) return;
        report.actions += seen.actions;
        add(users, item.userId);
        if (item.workflowId !== null) add(workflows, item.workflowId);
        for (const { action_id: actionId, action_type: actionType } of seen.again) {
          const key = JSON.stringify([item.workflowId, actionId, actionType]);
          const group = again.get(key) ?? { workflowId: item.workflowId, actionId, actionType, runs: 0 };
          again.set(key, { ...group, runs: group.runs + 1 });
        }
      });
      return {
        ...report,
        users: Object.fromEntries(users),
        workflows: Object.fromEntries(workflows),
        actsAgain: [...again.values()].sort((a, b) => b.runs - a.runs),
      };
    },
    async carryOut(caller, verb, filter, reason) {
      const { items, total } = await find(caller, verb, filter);
      let runs = 0;
      await inBatches(items, async ({ id: runId }) => {
        if (await carryOutOne(caller, verb, runId, reason)) runs += 1;
      });
      return { matched: total, runs };
    },
  };
}

function add(counts: Map<string, number>, key: string): void {
  counts.set(key, (counts.get(key) ?? 0) + 1);
}

/** A few at a time. */
async function inBatches<T>(items: readonly T[], work: (item: T) => Promise<void>): Promise<void> {
  for (let at = 0; at < items.length; at += AT_ONCE) await Promise.all(items.slice(at, at + AT_ONCE).map(work));
}
