/**
 * What a task needs is encrypted with a key that this worker does not have. Nothing is wrong with the task: it waits until the
 * worker is given the key, or another one takes it. Its attempt goes on, and none of these deliveries counts.
 */
import { UnreadablePayload } from '../../domain/errors.ts';
import type { Disposition } from '../ports/queue.ts';
import type { Attempt } from './attempt.ts';
import { clockReading, waitingOutcome } from './outcome.ts';
import { type SettleDeps, settle } from './settle-task.ts';

const RECHECK_MS = 5_000;

export function waitForKey(deps: SettleDeps, attempt: Attempt, error: unknown): Promise<Disposition> {
  if (!(error instanceof UnreadablePayload)) throw error;
  const { run, planned } = attempt;
  deps.log.error(error.code, { run_id: run.id, action_id: planned.action.action_id, error: error.message });
  const untilMs = deps.now() + RECHECK_MS;
  const outcome = waitingOutcome(deps, attempt, {
    wakeAt: null,
    notBefore: new Date(untilMs),
    clockReading: clockReading(deps),
  });
  return settle(deps, attempt, outcome, { job: 'delay', untilMs });
}
