/** Groups of runs of which only so many are under way at a time: how a run gets into one, and how one of it is replaced. */
import { concurrencyKeyOf } from '../../domain/definition/concurrency.ts';
import type { Definition } from '../../domain/definition/definition.ts';
import { errorMessage } from '../../domain/texts/error-message.ts';
import { type EndRunDeps, endRun } from '../control/end-run.ts';
import { wakeRun } from '../control/wake-run.ts';
import type { NewRun, ReplacedRun, RunStore } from '../ports/runs.ts';
import type { Plans } from './plans.ts';

export function withConcurrency(
  run: NewRun,
  { workflow_id, version }: { workflow_id: string; version: number },
  definition: Definition,
): NewRun {
  const { concurrency } = definition;
  if (concurrency === undefined) return run;
  const key = concurrencyKeyOf(definition, run.parameters, {
    workflow_id,
    workflow_version: version,
    tenant_id: run.tenantId,
    user_id: run.userId,
    correlation_id: run.correlationId ?? null,
  });
  if (key === undefined) return run;
  const { limit, policy } = concurrency;
  return { ...run, concurrency: { key, limit, policy } };
}

export type EndReplaced = (runs: readonly ReplacedRun[]) => Promise<void>;

/**
 * The second half of their cancellation: the first one is committed with the run that replaces them, so whatever is missed
 * here the reconciler does, which checks cancelling runs every second. Never throws.
 */
export function createEndReplaced(
  deps: EndRunDeps & {
    plans: Plans;
    runs: Pick<RunStore, 'endAbnormally' | 'statuses'>;
  },
): EndReplaced {
  async function end(run: ReplacedRun): Promise<void> {
    try {
      const plan = await deps.plans.of(run.of);
      // What started less than half a second ago has no row yet: with a compensation, nothing is taken for not started.
      if (run.notStarted && !plan.isSaga) await endRun(deps, run, plan);
      await wakeRun(deps, plan, run.id, run.epoch);
    } catch (error) {
      const reason = errorMessage(error);
      deps.log.warn('replaced_run_not_ended', { run_id: run.id, error: reason });
    }
  }
  return async (runs) => {
    for (const run of runs) await end(run);
  };
}
