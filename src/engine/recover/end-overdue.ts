/**
 * Deadlines of runs (`timeout_seconds` of a workflow). A run whose deadline has passed is ended as a cancellation ends it:
 * running adapters get their signal aborted, what sleeps is woken, nothing new starts. Only its row says that it ends as
 * `timed_out`, so whatever statement ends it, and whoever is first, there is one end.
 */

import { errorMessage } from '../../domain/texts/error-message.ts';
import type { Plans } from '../accept/plans.ts';
import { type EndRunDeps, endRun } from '../control/end-run.ts';
import type { ChildStore } from '../ports/children.ts';
import type { ReconcileStore } from '../ports/reconcile.ts';
import type { RunStore } from '../ports/runs.ts';

const OVERDUE_PER_PASS = 500;

export interface EndOverdueDeps extends EndRunDeps {
  plans: Plans;
  runs: Pick<RunStore, 'endAbnormally' | 'startedAmong'>;
  reconcile: Pick<ReconcileStore, 'takeOverdue'>;
  children: Pick<ChildStore, 'openOf' | 'parentOf'>;
}

/** Needs the database alone: deadlines hold while the queue is away. What sleeps in it is woken by the check of the run. */
export async function endOverdue(deps: EndOverdueDeps): Promise<void> {
  for (const run of await deps.reconcile.takeOverdue(OVERDUE_PER_PASS)) {
    deps.log.info('run_overdue', { run_id: run.id });
    if (!run.wasPending) continue;
    try {
      // It ends after them, as one that was in the queue.
      if ((await deps.children.openOf(run.id)).length > 0) continue;
      const plan = await deps.plans.of(run.of);
      // What started less than half a second ago has no row yet: its finalizer compensates what there is to compensate.
      if (plan.isSaga) continue;
      // Its mark as queued may be late: what sleeps in the queue would be left there until it is due.
      const started = await deps.runs.startedAmong([run.id]);
      const mayBeDelayed = plan.actions.some(
        ({ action, dependsOn }) => dependsOn.length === 0 && action.delay_seconds !== undefined,
      );
      if (started.has(run.id) || mayBeDelayed) continue;
      // Not in the queue, or only just.
      await endRun(deps, run, plan);
    } catch (error) {
      // It is cancelling, and the reconciler goes on from there.
      const reason = errorMessage(error);
      deps.log.warn('overdue_run_not_ended', { run_id: run.id, error: reason });
    }
  }
}
