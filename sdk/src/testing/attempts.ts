/** The attempts of one task: its input, its mock, and what follows a failure, in virtual time. */
import type { Action } from '../../../src/domain/definition/definition.ts';
import { describe, isErrorCode, OrchestratorError } from '../../../src/domain/errors.ts';
import { afterFailure } from '../../../src/domain/runs/retry.ts';
import type { Json } from '../../../src/schemas/json.ts';
import type { Mock, TestFailure } from './shapes.ts';

export interface AttemptsEnd {
  status: 'completed' | 'failed';
  output: Json;
  error: TestFailure | undefined;
  attempts: number;
  endedMs: number;
}

export interface Work {
  action: Action;
  mock: Mock;
  runId: string;
  startMs: number;
  /** Throws what the templates say. */
  input(): Json;
}

interface Failure extends TestFailure {
  retryable: boolean;
}

/** No chance: delays lose nothing by jitter. */
const RANDOM = 0;

export async function attemptAll(work: Work): Promise<AttemptsEnd> {
  const { action } = work;
  let startMs = work.startMs;
  for (let attempt = 1; ; attempt += 1) {
    const { failure, output, endedMs } = await attemptOnce(work, attempt, startMs);
    if (failure === undefined) return { status: 'completed', output, error: undefined, attempts: attempt, endedMs };
    const after = afterFailure(action.retry, attempt, failure, RANDOM);
    if (after.next === 'give_up') {
      const { code, message } = failure;
      return { status: 'failed', output: null, error: { code, message }, attempts: attempt, endedMs };
    }
    startMs = endedMs + after.delayMs;
  }
}

async function attemptOnce({ action, mock, runId, input }: Work, attempt: number, startMs: number) {
  const limitMs = action.timeout_seconds * 1_000;
  let tookMs = 0;
  const context = {
    actionId: action.action_id,
    attempt,
    idempotencyKey: `${runId}.1.${action.action_id}`,
    now: () => new Date(startMs + tookMs),
    sleep(ms: number) {
      tookMs += ms;
    },
  };
  let failure: Failure | undefined;
  let output: Json = null;
  try {
    const resolved = input();
    const given: unknown = typeof mock === 'function' ? await mock(resolved, context) : mock;
    output = JSON.parse(JSON.stringify(given ?? null)) as Json; // Only JSON is left after the round trip.
  } catch (error) {
    failure = failureOf(error);
  }
  // A wait that takes days is no attempt that takes days.
  if (tookMs > limitMs && action.action_type !== 'wait') {
    tookMs = limitMs;
    failure = { code: 'timeout', message: `took longer than ${action.timeout_seconds} s`, retryable: true };
  }
  return { failure, output, endedMs: startMs + tookMs };
}

export function failureOf(error: unknown): Failure {
  if (error instanceof OrchestratorError) {
    return { code: error.code, message: error.message, retryable: describe(error.code).retryable };
  }
  const { code, message, retryable, name } = error as {
    code?: unknown;
    message?: string;
    retryable?: unknown;
    name?: string;
  }; // Anything may be thrown.
  const known = typeof code === 'string' ? code : 'adapter_failed';
  const byCode = typeof code === 'string' && isErrorCode(code) ? describe(code).retryable : true;
  return {
    code: known,
    message: message ?? String(error),
    retryable: typeof retryable === 'boolean' ? retryable : byCode && name !== 'NonRetryableError',
  };
}
