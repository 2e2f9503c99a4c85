/**
 * Carries out requested erasures in the background, each batch in a transaction with its progress: after a crash they go on
 * from there. Executions under way end first.
 */

import { OrchestratorError } from '../../domain/errors.ts';
import { FINALIZER_QUEUE, finalizerJobId, taskJobId } from '../../domain/graph/compile.ts';
import type { Failpoint } from '../../engine/ports/failpoint.ts';
import type { Logger } from '../../engine/ports/logger.ts';
import type { JobRemoval } from '../../engine/ports/queue.ts';
import type { CancelRuns } from '../../engine/ports/use-cases.ts';
import type { Cleared, ErasureSteps, NextRuns } from './ports.ts';

const CANCELLED_AT_ONCE = 100;
const ROWS_PER_STEP = 500;
const BREATH_MS = 20;
const WHO = { userId: 'orchestrator', correlationId: undefined, traceId: '0'.repeat(32) };

export interface EraseDeps {
  steps: ErasureSteps;
  cancelRun: CancelRuns['cancelRun'];
  queue: JobRemoval;
  failpoint: Failpoint;
  pause(milliseconds: number, signal: AbortSignal): Promise<void>;
  log: Logger;
}

export async function eraseData(
  { steps, cancelRun, queue, failpoint, pause, log }: EraseDeps,
  signal: AbortSignal,
): Promise<void> {
  if (!(await steps.isRequested())) return;
  for (const { tenantId, runId } of await steps.activeRuns(CANCELLED_AT_ONCE)) {
    await cancelRun({ tenantId, ...WHO }, runId, 'Its data is to be erased').catch((error: unknown) => {
      // It ended by itself, or is being compensated, which has to end.
      if (!(error instanceof OrchestratorError)) throw error;
    });
  }
  while (!signal.aborted) {
    const cleared = await clearQueue(queue, await steps.nextRuns());
    const done = await steps.step(ROWS_PER_STEP, cleared);
    if (done === undefined) return;
    await failpoint('erase.afterBatch');
    if (done.completed) log.info('data_erased', { erasure_id: done.id, tenant_id: done.tenantId, rows: done.removed });
    await pause(BREATH_MS, signal);
  }
}

/**
 * Before the rows go, because they say which jobs there may be; whoever crashes in between finds the rows and does it again.
 * Gates are not among them: a run that has ended has none, but for orphans, which are looked for anyway.
 */
async function clearQueue(queue: JobRemoval, next: NextRuns | undefined): Promise<Cleared | undefined> {
  if (next === undefined) return undefined;
  const { erasureId, runs } = next;
  let jobs = 0;
  for (const { runId, epoch: last, tasks } of runs) {
    for (let epoch = 1; epoch <= last; epoch += 1) {
      const ofTasks = tasks.map(({ actionId, actionType }) => ({
        queue: actionType,
        jobId: taskJobId(runId, epoch, actionId),
      }));
      jobs += await queue.removeJobs([...ofTasks, { queue: FINALIZER_QUEUE, jobId: finalizerJobId(runId, epoch) }]);
    }
  }
  return { erasureId, runIds: runs.map(({ runId }) => runId), jobs };
}
