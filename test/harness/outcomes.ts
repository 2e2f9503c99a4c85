/** Outcomes by the few words that a test is about, and runs to commit them to. */
import { randomUUID } from 'node:crypto';
import type { NewRun } from '../../src/engine/ports/runs.ts';
import type { Outcome } from '../../src/engine/ports/tasks.ts';

const FINAL = new Set<Outcome['status']>(['completed', 'failed', 'skipped', 'cancelled', 'upstream_failed']);

/** Fields of all variants, in any combination: the store is tried with what the engine never makes, too. */
export type OutcomeValues = Partial<Pick<Outcome, keyof Outcome>>;

/** A clean first attempt of action `a` that completed, unless told otherwise. */
export function outcome<Status extends Outcome['status'] = 'completed'>(
  values: Omit<OutcomeValues, 'runId' | 'status'> & { runId: string; status?: Status | undefined },
): Outcome & { status: Status } {
  const status = values.status ?? 'completed';
  const made = {
    tenantId: 't',
    epoch: 1,
    actionId: 'a',
    actionType: 'test_task',
    attempt: 1,
    fence: 1,
    final: FINAL.has(status),
    ended: status !== 'waiting',
    tolerated: false,
    effectUnknown: false,
    input: null,
    output: status === 'completed' ? '{"done": true}' : null,
    error: status === 'failed' || status === 'retrying' ? '{"code": "network_error", "message": "no"}' : null,
    commitId: randomUUID(),
    worker: 'worker',
    startedMono: performance.now(),
    wakeAt: null,
    wakesSeen: 0,
    nextDelivery: null,
    endsRun: false,
    runOutput: null,
    ...values,
    status,
  };
  return made as unknown as Outcome & { status: Status }; // As the type of the values says.
}

export function newRun(id: string): NewRun {
  return {
    id,
    tenantId: 't',
    userId: 'u',
    of: { workflow_id: 'workflow', version: 1 },
    parameters: {},
    priority: 50,
    delaySeconds: undefined,
    correlationId: undefined,
    traceId: '0'.repeat(32),
    callbackUrl: undefined,
    idempotencyKey: undefined,
    requestHash: undefined,
  };
}
