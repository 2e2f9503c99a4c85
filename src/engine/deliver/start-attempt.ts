/** The start of an attempt whose task is to run: its condition, its input, its adapter. */

import { describe, OrchestratorError } from '../../domain/errors.ts';
import { hasItems } from '../../domain/runs/parts.ts';
import { COMPENSATES, type Compensates } from '../../domain/runs/saga.ts';
import { redactSecrets } from '../../domain/texts/mask-secrets.ts';
import type { Json } from '../../schemas/json.ts';
import { type AwaitChildrenDeps, awaitsChildren } from '../children/hold-for-children.ts';
import type { Control, Executor } from '../ports/executor.ts';
import type { Disposition } from '../ports/queue.ts';
import type { SecretsOfTasks, TaskSecret } from '../ports/secrets.ts';
import type { TaskStore } from '../ports/tasks.ts';
import { type Attempt, executedWith } from './attempt.ts';
import { cacheKeyOf, findCached } from './cache.ts';
import { compensationInput } from './compensation-input.ts';
import { recordOf, storableInput } from './outcome.ts';
import { localsOf, outputsNamedBy, resolveInput, scopeOf, secretsNamedBy } from './resolve-input.ts';
import { runAdapter } from './run-adapter.ts';
import { type PartsDeps, runParent } from './run-parts.ts';
import { commitDecision, commitFailure, commitSuccess, conclude, defer, park } from './settle-task.ts';
import type { TaskLogs } from './task-logs.ts';
import type { TaskReports } from './task-reports.ts';

export interface StartDeps extends PartsDeps, AwaitChildrenDeps {
  children: PartsDeps['children'] & AwaitChildrenDeps['children'];
  tasks: PartsDeps['tasks'] & Pick<TaskStore, 'markRunning'>;
  executor: Executor;
  control: Control;
  /** Aborted when this worker is to give back what it still has. */
  shutdown: AbortSignal;
  reports: TaskReports;
  logs: TaskLogs;
  secrets: Pick<SecretsOfTasks, 'of'>;
}

const NO_SECRETS: ReadonlyMap<string, TaskSecret> = new Map();

export async function startAttempt(deps: StartDeps, attempt: Attempt, suspect: boolean): Promise<Disposition> {
  const { plan, planned, run, found } = attempt;
  const { action, item } = planned;
  const literal = deps.executor.literalFields(action.action_type);
  let scope = scopeOf(run, found, outputsNamedBy(plan, planned, literal));
  let locals = localsOf(planned, found, found.tasks.get(action.action_id));
  let compensates: Compensates | undefined;
  if (planned.compensates !== undefined) {
    try {
      const compensation = await compensationInput(deps.sagas, attempt, planned.compensates, scope.outputs);
      compensates = compensation.compensates;
      scope = { ...scope, outputs: compensation.outputs };
      locals = { [COMPENSATES]: { ...compensates } };
    } catch (error) {
      if (!(error instanceof OrchestratorError) || error.code !== 'effect_unknown') throw error;
      return commitFailure(deps, attempt, { code: error.code, message: error.message });
    }
  }
  const outputs = Object.fromEntries(scope.outputs);
  const variables = { ...outputs, outputs, params: scope.params, run: scope.run };
  let secretsByName: ReadonlyMap<string, TaskSecret> = NO_SECRETS;
  let resolved: Json;
  let cacheKey: string | undefined;
  try {
    if (action.when !== undefined && (await deps.expressions.evaluate(action.when, variables, run)) !== true) {
      return commitDecision(deps, attempt, {
        next: 'end',
        status: 'skipped',
        reason: `when is not true: ${action.when}`,
      });
    }
    if (hasItems(action)) return await runParent(deps, attempt, { scope, variables });
    const inScope = { ...scope, locals };
    const named = secretsNamedBy(plan, planned, literal);
    if (named.length > 0) secretsByName = await deps.secrets.of(run.tenantId, named);
    resolved = resolveInput(attempt, inScope, literal, secretsByName);
    if (action.cache !== undefined) cacheKey = cacheKeyOf(plan, planned, run, inScope);
  } catch (error) {
    if (!(error instanceof OrchestratorError)) throw error;
    if (error.code === 'expressions_busy') return defer(deps, attempt);
    const code = error.code === 'expression_failed' ? 'condition_failed' : error.code;
    const failure = { code, message: error.message, retryable: describe(error.code).retryable };
    return conclude(deps, { ...attempt, startedMono: performance.now() }, { result: 'failure', failure });
  }

  const secrets = [...secretsByName.values()].map(({ value }) => value);
  const input = storableInput(redactSecrets(resolved, secrets), deps.maxOutputBytes, run);
  const started = executedWith(attempt, { cacheKey, input, secrets, startedMono: performance.now() });
  const cached = await findCached(deps, started);
  if (cached !== undefined) return commitSuccess(deps, started, cached, true);
  const { action_id: actionId, heartbeat_timeout_seconds: heartbeatSeconds } = action;
  const { epoch, id: runId } = run;
  const task = { tenantId: run.tenantId, runId, actionId, epoch, attempt: attempt.number };
  const reports = deps.reports.open({ ...task, fence: attempt.fence }, secrets);
  const logs = deps.logs.open(task);
  const result = await runAdapter(deps, {
    actionType: action.action_type,
    input: resolved,
    secrets: [...secretsByName.values()],
    timeoutMs: action.timeout_seconds * 1000,
    heartbeatMs: heartbeatSeconds === undefined ? undefined : heartbeatSeconds * 1000,
    reports,
    logs,
    trust: attempt.delivery.trust,
    idempotencyKey: `${run.id}.${run.epoch}.${action.action_id}`,
    attempt: attempt.number,
    run,
    actionId: action.action_id,
    priority: action.priority ?? run.priority,
    ...(compensates === undefined ? {} : { compensates }),
    scope: { params: scope.params, run: scope.run, outputs, ...(item === undefined ? {} : { locals }) },
    wakeAt: found.tasks.get(action.action_id)?.wakeAt ?? undefined,
    suspect,
    onSlow: () => deps.tasks.markRunning(recordOf(deps, started)),
  });
  logs.close();
  // Readers have the last of it before the end.
  const reported = reports.close();
  if (reported !== undefined) await reported;
  await deps.failpoint('worker.afterExecute');
  if (result.result === 'cancelled' && (await awaitsChildren(deps, run, action))) return park(deps, started, undefined);
  return conclude(deps, started, result);
}
