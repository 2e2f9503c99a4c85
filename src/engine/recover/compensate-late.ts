/**
 * Successes that came when their run had ended already: an action that was given up, and whose adapter had done it all the
 * same. Where it has a compensation the run compensates once more. The late effect is a row that says whether that is due,
 * so whatever is missed is done by the next pass.
 */
import { actionsToCompensate } from '../../domain/runs/saga.ts';
import { errorMessage } from '../../domain/texts/error-message.ts';
import type { Plans } from '../accept/plans.ts';
import { compensationsOf, type SagaStore } from '../deliver/compensate.ts';
import type { Logger } from '../ports/logger.ts';
import type { RunStore } from '../ports/runs.ts';

const RUNS_PER_PASS = 100;

export interface CompensateLateDeps {
  plans: Plans;
  runs: Pick<RunStore, 'statuses'>;
  sagas: Pick<SagaStore, 'takeLate' | 'reopenForLate'>;
  log: Logger;
}

export async function compensateLate(deps: CompensateLateDeps): Promise<void> {
  for (const run of await deps.sagas.takeLate(RUNS_PER_PASS)) {
    try {
      const plan = await deps.plans.of(run.of);
      const { tasks } = await deps.runs.statuses(run.id);
      const compensations = compensationsOf(actionsToCompensate(plan, (actionId) => tasks.get(actionId)));
      // The reconciler adds its finalizer.
      if (await deps.sagas.reopenForLate(run, compensations))
        deps.log.warn('late_effect_compensated', { run_id: run.id });
    } catch (error) {
      const reason = errorMessage(error);
      deps.log.warn('late_effect_not_compensated', { run_id: run.id, error: reason });
    }
  }
}
