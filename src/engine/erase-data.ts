/**
 * Erases in the background what somebody asked to be erased, a batch in a transaction with how far it is: whoever comes after
 * a crash goes on from there. Executions under way end first.
 */
import { OrchestratorError } from '../domain/errors.ts';
import type { ErasureSteps } from './erasure-ports.ts';
import type { Failpoint } from './failpoint.ts';
import type { Logger } from './ports.ts';
import type { CancelRuns } from './use-cases.ts';

const CANCELLED_AT_ONCE = 100;
const ROWS_PER_STEP = 500;
const BREATH_MS = 20;
const WHO = { userId: 'orchestrator', correlationId: undefined, traceId: '0'.repeat(32) };

export interface EraseDeps {
  steps: ErasureSteps;
  cancelRun: CancelRuns['cancelRun'];
  failpoint: Failpoint;
  pause(milliseconds: number, signal: AbortSignal): Promise<void>;
  log: Logger;
}

export async function eraseData(
  { steps, cancelRun, failpoint, pause, log }: EraseDeps,
  signal: AbortSignal,
): Promise<void> {
  for (const { tenantId, runId } of await steps.activeRuns(CANCELLED_AT_ONCE)) {
    await cancelRun({ tenantId, ...WHO }, runId, 'Its data is to be erased').catch((error: unknown) => {
      // It ended by itself, or is being undone, which has to end.
      if (!(error instanceof OrchestratorError)) throw error;
    });
  }
  while (!signal.aborted) {
    const done = await steps.step(ROWS_PER_STEP);
    if (done === undefined) return;
    await failpoint('erase.afterBatch');
    if (done.completed) log.info('data_erased', { erasure_id: done.id, tenant_id: done.tenantId, rows: done.removed });
    await pause(BREATH_MS, signal);
  }
}
