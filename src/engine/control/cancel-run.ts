/**
 * Cancellation: the control row first, then everything that sleeps in the queue is woken. What is picked up after that
 * ends as cancelled, running adapters get their signal aborted, and the last action or the finalizer ends the run.
 */
import { OrchestratorError } from '../../domain/errors.ts';
import type { Plan } from '../../domain/graph/plan.ts';
import { FINAL_RUN_STATUSES, type RunStatus } from '../../domain/runs/run-states.ts';
import { errorMessage } from '../../domain/texts/error-message.ts';
import type { Plans } from '../accept/plans.ts';
import { cancelQuietly } from '../children/hold-for-children.ts';
import { rejectWhileCompensating } from '../deliver/compensate.ts';
import type { ChildStore } from '../ports/children.ts';
import type { RunStore } from '../ports/runs.ts';
import type { Caller, CancelRuns } from '../ports/use-cases.ts';
import { type EndRunDeps, endRun } from './end-run.ts';
import { wakeRun } from './wake-run.ts';

export interface CancelDeps extends EndRunDeps {
  plans: Plans;
  runs: Pick<RunStore, 'requestCancel' | 'endAbnormally' | 'statuses'>;
  children: Pick<ChildStore, 'openOf' | 'parentOf'>;
}

export function createCancelRuns(deps: CancelDeps): CancelRuns {
  async function cancelRun(caller: Caller, runId: string, reason: string | undefined): Promise<RunStatus> {
    const request = await deps.runs.requestCancel(caller.tenantId, runId, reason, caller.userId);
    if (!request.found) throw new OrchestratorError('not_found', 'Execution not found');
    if (FINAL_RUN_STATUSES.includes(request.was)) {
      throw new OrchestratorError('already_final', `The execution has already ended: ${request.was}`);
    }
    rejectWhileCompensating(request.was);
    if (!request.changed) return 'cancelling';
    await deps.failpoint('cancel.afterStatus');
    const plan = await deps.plans.of(request.of);
    // Once the run is marked it starts no more of them. Its own tasks end after those they wait for.
    const children = await deps.children.openOf(runId);
    await cancelAll(caller, children, reason);
    // What started less than half a second ago has no row yet. With a compensation, nothing is taken for not started.
    const mayHaveStarted =
      plan.isSaga || children.length > 0 || !(request.was === 'pending' || (await hasNotStarted(request.was, runId)));
    if (!mayHaveStarted) {
      // Not in the queue, or only just.
      await endRun(deps, { id: runId, epoch: request.epoch }, plan);
      await wake(plan, runId, request.epoch);
      return 'cancelled';
    }
    await wake(plan, runId, request.epoch);
    return 'cancelling';
  }

  /** Nothing of a paused run starts any more. */
  async function hasNotStarted(was: RunStatus, runId: string): Promise<boolean> {
    return was === 'paused' && (await deps.runs.statuses(runId)).tasks.size === 0;
  }

  async function cancelAll(caller: Caller, children: readonly string[], reason: string | undefined): Promise<void> {
    const requests = children.map((id) => cancelQuietly(cancelRun, caller, id, reason));
    for (const answer of await Promise.allSettled(requests)) {
      // The task that waits for it requests that as well, every second.
      if (answer.status === 'rejected') deps.log.warn('child_not_cancelled', { error: String(answer.reason) });
    }
  }

  async function wake(plan: Plan, runId: string, epoch: number): Promise<void> {
    await wakeRun(deps, plan, runId, epoch).catch((error: unknown) => {
      // The reconciler wakes them as well, every second while the run is cancelling.
      deps.log.warn('cancelled_run_not_woken', {
        run_id: runId,
        error: errorMessage(error),
      });
    });
  }

  return { cancelRun };
}
