/**
 * The end of a run with several sinks: the job in the queue `runs` that all of them release. It also ends a run that was
 * retried although all of its actions had completed.
 */
import type { Plan } from '../../domain/graph/plan.ts';
import type { JobData } from '../../schemas/job.ts';
import { childEnded, type NotifyParentDeps } from '../children/child-ended.ts';
import type { Disposition } from '../ports/queue.ts';
import type { RunRow } from '../ports/rows.ts';
import type { RunStore } from '../ports/runs.ts';
import type { AddAgainDeps } from '../recover/add-again.ts';
import { compensate, type SagaStore } from './compensate.ts';
import { type OutcomeDeps, runOutputText } from './outcome.ts';
import { outputsOfRun, type Scope, scopeOf } from './resolve-input.ts';

/** Something is not final that had to be: the job comes back after that. */
export const NOT_READY_DELAY_MS = 1_000;

export interface FinalizeDeps extends AddAgainDeps, OutcomeDeps, NotifyParentDeps {
  queue: AddAgainDeps['queue'];
  sagas: SagaStore;
  runs: Pick<RunStore, 'statuses' | 'outputs' | 'finalize' | 'checkNow'>;
  now(): number;
  /** An outcome of a task of the run was committed here, or its end. */
  onCommitted?: ((run: RunRow) => void) | undefined;
}

export async function finalizeRun(deps: FinalizeDeps, plan: Plan, data: JobData): Promise<Disposition> {
  const found = await deps.runs.statuses(data.run_id);
  const { run } = found;
  if (run === undefined || run.epoch !== data.epoch) return { job: 'complete' };
  if (run.final) {
    await childEnded(deps, run);
    return { job: 'complete' };
  }
  // What is read now is what the run ends with, so it must be final now, and not only when the run ends.
  if (!plan.actions.every(({ action }) => found.tasks.get(action.action_id)?.final)) return notReady(deps, run);
  if (plan.isSaga) {
    const compensating = await compensate(deps, { plan, run, found, gen: data.gen });
    if (compensating?.job === 'complete') await childEnded(deps, run);
    if (compensating !== undefined) return compensating;
  }
  const outputIds = outputsOfRun(plan);
  const outputs = await deps.runs.outputs(run.id, outputIds);
  const base = scopeOf(run, found, outputIds);
  const scope: Scope = {
    ...base,
    outputs: new Map(
      outputIds.map((id) => [id, found.tasks.get(id)?.status === 'completed' ? (outputs.get(id) ?? null) : null]),
    ),
  };
  // A single task has its output in its own row.
  const output = 'workflow_id' in run.of ? runOutputText(deps, plan, scope, run.id) : null;
  const of = { runId: run.id, tenantId: run.tenantId, epoch: run.epoch };
  const ended = await deps.runs.finalize({ ...of, actions: plan.actions.length, output });
  if (!ended) return notReady(deps, run);
  deps.onCommitted?.(run);
  await deps.failpoint('finalize.afterCommit');
  await childEnded(deps, run);
  return { job: 'complete' };
}

/** Released too early: something of this run was lost in the queue. */
async function notReady(deps: FinalizeDeps, run: RunRow): Promise<Disposition> {
  deps.log.warn('run_not_ready_to_end', { run_id: run.id });
  await deps.runs.checkNow(run.id);
  return { job: 'delay', untilMs: deps.now() + NOT_READY_DELAY_MS };
}
