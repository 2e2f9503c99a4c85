/**
 * Skips or completes an action manually: a final row under a token of its own, as any outcome. Its job is not
 * touched but for being woken; whoever works on it, or is delivered it, finds the row final and acknowledges it, which
 * releases its dependents. So those wait as well for what the action itself waited for. The run is ended by that
 * acknowledgement too, and never here.
 */

import { isApproval } from '../../domain/definition/signals.ts';
import { OrchestratorError } from '../../domain/errors.ts';
import { taskJobId } from '../../domain/graph/compile.ts';
import { makeStorable } from '../../domain/runs/storable.ts';
import { errorMessage } from '../../domain/texts/error-message.ts';
import type { Plans } from '../../engine/accept/plans.ts';
import { WAKE_TO_COME } from '../../engine/deliver/wake-tasks.ts';
import type { Failpoint } from '../../engine/ports/failpoint.ts';
import type { Logger } from '../../engine/ports/logger.ts';
import type { FlowQueue } from '../../engine/ports/queue.ts';
import type { RunStore } from '../../engine/ports/runs.ts';
import type { CompletedOutcome, SkippedOutcome } from '../../engine/ports/tasks.ts';
import type { ActionOfRun, Caller, ManualEnd, Settled, SettleManually } from '../../engine/ports/use-cases.ts';
import type { Json } from '../../schemas/json.ts';
import { namesApprovers } from '../approvals/domain.ts';

/** What is shown where the name of a worker would be. */
export const MANUAL_WORKER = 'by hand';

type Unnumbered<Of> = Omit<Of, 'fence' | 'attempt'>;

export interface ManualEnds {
  /**
   * The token and the number of the attempt are the store's to say. Resolves to the items and iterations that ended with it; undefined:
   * the task or the run has ended by now.
   */
  settle(
    outcome: Unnumbered<CompletedOutcome> | Unnumbered<SkippedOutcome>,
    note: { by: string; reason: string | undefined; overridden: boolean },
  ): Promise<string[] | undefined>;
}

export interface ManualCompletionDeps {
  plans: Plans;
  runs: Pick<RunStore, 'statuses'>;
  ends: ManualEnds;
  queue: Pick<FlowQueue, 'promote'>;
  failpoint: Failpoint;
  newId(): string;
  now(): Date;
  maxOutputBytes: number;
  log: Logger;
}

type Settlement = { status: 'skipped' } | { status: 'completed'; output: Json };

export function createManualCompletion(deps: ManualCompletionDeps): SettleManually {
  async function settle(
    caller: Caller,
    { runId, actionId }: ActionOfRun,
    settlement: Settlement,
    { reason, mayOverride = false }: ManualEnd,
  ): Promise<Settled> {
    const { run, tasks } = await deps.runs.statuses(runId);
    if (run === undefined || run.tenantId !== caller.tenantId) {
      throw new OrchestratorError('not_found', 'Execution not found');
    }
    if (run.final) throw new OrchestratorError('already_final', `The execution has already ended: ${run.status}`);
    if (run.status === 'cancelling' || run.status === 'compensating') {
      throw new OrchestratorError('conflict', `The execution is ${run.status}`);
    }
    const plan = await deps.plans.of(run.of);
    const action = plan.byId.get(actionId)?.action;
    if (action === undefined)
      throw new OrchestratorError('unknown_action', `The execution has no action '${actionId}'`);
    const ended = () => new OrchestratorError('conflict', `The action '${actionId}' has already ended`);
    if (tasks.get(actionId)?.final === true) throw ended();
    const overridden = isApproval(action) && namesApprovers(action.config);
    if (overridden && !mayOverride) {
      const detail = `'${actionId}' is for its approvers to decide: to settle it takes the permission 'approvals:override'`;
      throw new OrchestratorError('forbidden', detail);
    }
    const output = settlement.status === 'completed' ? settlement.output : null;
    const decided = overridden && output !== null ? asOverride(output, caller, reason, deps.now()) : output;
    const items = await deps.ends.settle(
      {
        runId,
        tenantId: run.tenantId,
        epoch: run.epoch,
        actionId,
        actionType: action.action_type,
        final: true,
        ended: true,
        tolerated: false,
        effectUnknown: false,
        input: null,
        error: null,
        commitId: deps.newId(),
        worker: MANUAL_WORKER,
        startedMono: null,
        wakeAt: null,
        wakesSeen: WAKE_TO_COME,
        nextDelivery: null,
        endsRun: false,
        runOutput: null,
        ...(settlement.status === 'completed'
          ? { status: settlement.status, output: storable(deps, decided) }
          : { status: settlement.status, output: null }),
      },
      { by: caller.userId, reason, overridden },
    );
    if (items === undefined) throw ended();
    await deps.failpoint('settle.afterCommit');
    const jobs = [actionId, ...items].map((id) => ({
      queue: action.action_type,
      jobId: taskJobId(runId, run.epoch, id),
    }));
    await deps.queue.promote(jobs).catch((error: unknown) => {
      // The row says that its job is to be woken, and the reconciler is to check the run.
      deps.log.warn('settled_job_not_promoted', {
        run_id: runId,
        action_id: actionId,
        error: errorMessage(error),
      });
    });
    return { overridden };
  }

  return {
    skip: (caller, action, how) => settle(caller, action, { status: 'skipped' }, how),
    complete: (caller, action, output, how) => settle(caller, action, { status: 'completed', output }, how),
  };
}

/** What an approval would have put out, had its approvers decided; it says that they have not. */
function asOverride(output: Json, { userId }: Caller, comment: string | undefined, at: Date): Json {
  const approved =
    typeof output === 'object' && output !== null && !Array.isArray(output) ? output['approved'] : undefined;
  if (typeof approved !== 'boolean') {
    throw new OrchestratorError('invalid_request', 'The output of an approval says whether it is approved', {
      errors: [{ path: 'output.approved', message: 'must be true or false' }],
    });
  }
  return { approved, by: userId, comment: comment ?? null, at: at.toISOString(), overridden: true };
}

function storable(deps: ManualCompletionDeps, output: Json): string {
  const made = makeStorable(output, { maxBytes: deps.maxOutputBytes });
  if (!made.ok) throw new OrchestratorError(made.code, made.message);
  return made.json;
}
