/**
 * A manual retry: a run that failed or was cancelled goes on in a new epoch. What completed keeps its rows; the rest is
 * reopened in the transaction that reopens the run, and only then added to the queue, as everything is that is added again.
 */
import { OrchestratorError } from '../../domain/errors.ts';
import { toReopen, toRestart } from '../../domain/runs/reopen.ts';
import { RUN_MOVES, type RunStatus } from '../../domain/runs/run-states.ts';
import { errorMessage } from '../../domain/texts/error-message.ts';
import type { SagaStore } from '../deliver/compensate.ts';
import type { Logger } from '../ports/logger.ts';
import type { Lookup, RunRow } from '../ports/rows.ts';
import type { RetryStore, RunStore } from '../ports/runs.ts';
import type { Caller, RetryRuns } from '../ports/use-cases.ts';
import { type AddAgainDeps, addAgain } from '../recover/add-again.ts';

export interface RetryDeps extends AddAgainDeps {
  runs: Pick<RunStore, 'statuses' | 'markQueued' | 'countInQueue'>;
  retries: RetryStore;
  sagas: Pick<SagaStore, 'reopen'>;
  window: number;
  log: Logger;
}

export const RETRYABLE_STATUSES: readonly RunStatus[] = RUN_MOVES.retry.from;
/** A rerun is of a completed one too. */
export const RERUNNABLE_STATUSES: readonly RunStatus[] = RUN_MOVES.rerun.from;
/** For so long the dispatcher leaves a reopened run to the API process that adds it. */
export const API_GRACE_SECONDS = 5;

export function createRetryRuns(deps: RetryDeps): RetryRuns {
  return {
    async retryRun(caller, runId, reason) {
      const found = await deps.runs.statuses(runId);
      const { run } = found;
      if (run === undefined || run.tenantId !== caller.tenantId) {
        throw new OrchestratorError('not_found', 'Execution not found');
      }
      if (run.status === 'compensation_failed') {
        const again = await reopenCompensations(deps, caller, run, reason);
        if (again === undefined) throw retriedByAnother();
        return again;
      }
      if (!RETRYABLE_STATUSES.includes(run.status)) {
        throw new OrchestratorError(
          'not_retryable',
          `The execution is ${run.status}; only one that is ${RETRYABLE_STATUSES.join(', ')} can be retried`,
        );
      }
      const reopened = await reopen(deps, caller, found, { afterSeconds: API_GRACE_SECONDS, reason });
      if (reopened === undefined) throw retriedByAnother();
      const { epoch } = reopened.run;
      return { epoch, reopened: reopened.actionIds.length, status: await enqueue(deps, reopened.run) };
    },
  };
}

function retriedByAnother(): OrchestratorError {
  return new OrchestratorError('not_retryable', 'The execution has just been retried by somebody else');
}

export interface ReopenOptions {
  /** When the dispatcher may take it. */
  afterSeconds: number;
  reason?: string | undefined;
  /** The action that a rerun starts at; without it: a retry. */
  rerunFrom?: string | undefined;
}

/** Undefined: somebody else was first, or the run is gone. */
export async function reopen(
  deps: Pick<RetryDeps, 'plans' | 'retries'>,
  caller: Caller,
  { run, tasks }: Lookup,
  { afterSeconds, reason, rerunFrom }: ReopenOptions,
): Promise<{ run: RunRow; actionIds: string[] } | undefined> {
  if (run === undefined) return undefined;
  const plan = await deps.plans.of(run.of);
  const actionIds = toReopen(plan, (actionId) => tasks.get(actionId)?.status, rerunFrom);
  const reopened = await deps.retries.reopen({
    runId: run.id,
    epoch: run.epoch,
    from: rerunFrom === undefined ? RETRYABLE_STATUSES : RERUNNABLE_STATUSES,
    actionIds,
    restart: [...toRestart(plan, actionIds), ...(rerunFrom === undefined ? [] : [rerunFrom])],
    afterSeconds,
    timeoutSeconds: plan.definition.timeout_seconds,
    by: caller.userId,
    reason,
    rerunFrom,
  });
  return reopened === undefined ? undefined : { run: reopened, actionIds };
}

/** Tries again what was not compensated. Undefined: somebody else was first. */
export async function reopenCompensations(
  deps: RetryDeps,
  caller: Caller,
  run: RunRow,
  reason: string | undefined,
): Promise<{ epoch: number; reopened: number; status: RunStatus } | undefined> {
  const again = await deps.sagas.reopen(run, caller.userId, reason);
  if (again === undefined) return undefined;
  return { epoch: again.run.epoch, reopened: again.compensations, status: await continueCompensation(deps, again.run) };
}

/** Never throws: the run is under way already, and the reconciler adds its finalizer when it is not added here. */
async function continueCompensation(deps: RetryDeps, run: RunRow): Promise<RunStatus> {
  try {
    await addAgain(deps, run);
  } catch (error) {
    const reason = errorMessage(error);
    deps.log.warn('runs_left_to_reconciler', { count: 1, run_id: run.id, error: reason });
  }
  return run.status;
}

/** Never throws: the run is reopened already, and the dispatcher adds what is not added here. */
export async function enqueue(deps: RetryDeps, run: RunRow): Promise<RunStatus> {
  // With the one above it.
  if (run.status === 'paused') return 'paused';
  if (run.waitsForSlot === true) return 'pending';
  try {
    if ((await deps.runs.countInQueue(deps.window)) >= deps.window) return 'pending';
    await addAgain(deps, run);
    await deps.runs.markQueued(run.id, run.epoch);
    return 'queued';
  } catch (error) {
    const reason = errorMessage(error);
    deps.log.warn('runs_left_to_dispatcher', { count: 1, run_id: run.id, error: reason });
    return 'pending';
  }
}
