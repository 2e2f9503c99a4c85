/** The end of a run with several sinks: the job in the queue `runs` that all of them release. */
import type { Plan } from '../domain/plan.ts';
import type { JobData } from '../schemas/job.ts';
import type { AddAgainDeps } from './add-again.ts';
import { type OutcomeDeps, runOutputText } from './outcome.ts';
import type { Disposition, RunStore } from './ports.ts';
import { outputsOfRun, type Scope, scopeOf } from './resolve-input.ts';

const NOT_READY_DELAY_MS = 1_000;

export interface FinalizeDeps extends AddAgainDeps, OutcomeDeps {
  runs: Pick<RunStore, 'statuses' | 'outputs' | 'finalize' | 'nudge'>;
  now(): number;
}

export async function finalizeRun(deps: FinalizeDeps, plan: Plan, data: JobData): Promise<Disposition> {
  const found = await deps.runs.statuses(data.run_id);
  const { run } = found;
  if (run === undefined || run.final || run.epoch !== data.epoch) return { job: 'complete' };
  const wanted = outputsOfRun(plan);
  const outputs = await deps.runs.outputs(run.id, wanted);
  const known = scopeOf(run, found, wanted);
  const scope: Scope = {
    ...known,
    outputs: new Map(
      wanted.map((id) => [id, found.tasks.get(id)?.status === 'completed' ? (outputs.get(id) ?? null) : null]),
    ),
  };
  const output = runOutputText(deps, plan, scope, run.id);
  const ended = await deps.runs.finalize({ runId: run.id, epoch: run.epoch, actions: plan.actions.length, output });
  if (ended) {
    await deps.failpoint('finalize.afterCommit');
    return { job: 'complete' };
  }
  // Released too early: something of this run was lost in the queue.
  deps.log.warn('run_not_ready_to_end', { run_id: run.id });
  await deps.runs.nudge(run.id);
  return { job: 'delay', untilMs: deps.now() + NOT_READY_DELAY_MS };
}
