/**
 * A rerun from an action: a run that has ended goes on in a new epoch, in which that action and everything below it is done
 * again, and with them what did not complete, as in a retry. Before it is done, the plan says what would act once more.
 */
import { OrchestratorError } from '../../domain/errors.ts';
import type { Plan } from '../../domain/graph/plan.ts';
import { describeReopened, toReopen } from '../../domain/runs/reopen.ts';
import type { Lookup, RunRow } from '../ports/rows.ts';
import type { Caller, RerunRuns } from '../ports/use-cases.ts';
import { API_GRACE_SECONDS, enqueue, RERUNNABLE_STATUSES, type RetryDeps, reopen } from './retry-run.ts';

export interface RerunDeps extends RetryDeps {
  /** Of an action type. */
  isIdempotent(actionType: string): boolean;
}

export function createRerunRuns(deps: RerunDeps): RerunRuns {
  async function find(
    caller: Caller,
    runId: string,
    actionId: string,
  ): Promise<{ run: RunRow; plan: Plan; found: Lookup }> {
    const found = await deps.runs.statuses(runId);
    const { run } = found;
    if (run === undefined || run.tenantId !== caller.tenantId) {
      throw new OrchestratorError('not_found', 'Execution not found');
    }
    const plan = await deps.plans.of(run.of);
    if (!plan.byId.has(actionId)) {
      throw new OrchestratorError('unknown_action', `The execution has no action '${actionId}'`);
    }
    if (!RERUNNABLE_STATUSES.includes(run.status)) {
      throw new OrchestratorError(
        'not_retryable',
        `The execution is ${run.status}; only one that is ${RERUNNABLE_STATUSES.join(', ')} can be run again`,
      );
    }
    return { run, plan, found };
  }

  return {
    async planRerun(caller, runId, { actionId }) {
      const { run, plan, found } = await find(caller, runId, actionId);
      const taskOf = (id: string) => found.tasks.get(id);
      const ids = toReopen(plan, (id) => taskOf(id)?.status, actionId);
      return {
        epoch: run.epoch + 1,
        tenantId: run.tenantId,
        userId: run.userId,
        workflowId: 'workflow_id' in run.of ? run.of.workflow_id : null,
        workflowVersion: 'workflow_id' in run.of ? run.of.version : null,
        reopened: describeReopened(plan, ids, taskOf, deps.isIdempotent),
        kept: plan.actions.length - ids.length,
      };
    },
    async rerun(caller, runId, { actionId, reason }) {
      const { found } = await find(caller, runId, actionId);
      const reopened = await reopen(deps, caller, found, {
        afterSeconds: API_GRACE_SECONDS,
        reason,
        rerunFrom: actionId,
      });
      if (reopened === undefined) {
        throw new OrchestratorError('not_retryable', 'The execution has just been begun again by somebody else');
      }
      const { epoch } = reopened.run;
      return { epoch, reopened: reopened.actionIds.length, status: await enqueue(deps, reopened.run) };
    },
  };
}
