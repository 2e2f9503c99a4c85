/** One call of an adapter, in the worker or in a child of its own: input checked, output checked, errors as results. */
import { describe, isErrorCode, OrchestratorError, UnreadablePayload } from '../src/domain/errors.ts';
import { errorMessage } from '../src/domain/texts/error-message.ts';
import type { ExecutionResult } from '../src/engine/ports/executor.ts';
import { faultsOf } from '../src/schemas/faults.ts';
import { type AdapterContext, NonRetryableError, RetryableError } from './adapter.ts';
import type { AnyAdapter } from './shipped-adapters.ts';

/** Thrown by `sleepUntil` and `awaitRateLimit` to leave the adapter; never an error that anybody sees. */
export class Sleep extends Error {
  readonly until: Date;
  constructor(until: Date) {
    super('asleep');
    this.until = until;
  }
}

/** Thrown by `park` to leave the adapter. */
class Park extends Error {
  readonly until: Date | undefined;
  constructor(until: Date | undefined) {
    super('parked');
    this.until = until;
  }
}

export const park: AdapterContext['park'] = async (until) => {
  throw new Park(until);
};

export function sleeper(wakeAt: Date | undefined, now: () => Date): AdapterContext['sleepUntil'] {
  return async (time) => {
    const until = wakeAt ?? time;
    if (now() < until) throw new Sleep(until);
  };
}

export async function runAdapterIn(
  adapter: AnyAdapter,
  raw: unknown,
  context: AdapterContext,
  /** A fault of the engine's own stores, which is no failure of the attempt. */
  isStoreFault: (error: unknown) => boolean = () => false,
): Promise<ExecutionResult> {
  const input = adapter.config.safeParse(raw);
  if (!input.success) {
    const faults = faultsOf(input.error, adapter.config).map(({ path, message }) =>
      path === '' ? message : `${path}: ${message}`,
    );
    return failure('input_invalid', faults.join('; '), false);
  }
  try {
    const output = await adapter.run(input.data as never, context); // What the adapter's own schema has parsed.
    const checked = adapter.output.safeParse(output);
    if (checked.success) return { result: 'output', output };
    const faults = faultsOf(checked.error, adapter.output).map(({ path, message }) => `${path}: ${message}`);
    const message = `the output does not fit the adapter's schema: ${faults.join('; ')}`;
    // It did what it was to do.
    return { result: 'failure', failure: { code: 'adapter_failed', message, retryable: false, effectUnknown: true } };
  } catch (error) {
    if (isStoreFault(error)) throw error;
    return toResult(error);
  }
}

function toResult(error: unknown): ExecutionResult {
  if (error instanceof UnreadablePayload) throw error;
  if (error instanceof Sleep) return { result: 'sleep', until: error.until };
  if (error instanceof Park) return { result: 'park', until: error.until };
  // By its code: the error may come from a child of this process.
  if (error instanceof Error && 'code' in error && error.code === 'expressions_busy') return { result: 'deferred' };
  if (error instanceof RetryableError) return failed(error, true, error.retryAfterMs);
  if (error instanceof NonRetryableError) return failed(error, false);
  if (error instanceof OrchestratorError) return failure(error.code, error.message, describe(error.code).retryable);
  const message = errorMessage(error);
  const code = error instanceof Error && 'code' in error && typeof error.code === 'string' ? error.code : '';
  // What an adapter did not foresee may pass: its author says otherwise with NonRetryableError.
  return failure(isErrorCode(code) ? code : 'adapter_failed', message, true);
}

/** What an adapter that was stopped says of a call that was stopped with it. */
const BROKEN_OFF: ReadonlySet<string> = new Set(['network_error', 'timeout', 'adapter_failed']);

function failed(
  { code, message, details }: RetryableError | NonRetryableError,
  retryable: boolean,
  retryAfterMs?: number,
): ExecutionResult {
  const reported = {
    code,
    message,
    retryable,
    retryAfterMs,
    ...(retryable && BROKEN_OFF.has(code) ? {} : { definite: true }),
  };
  return { result: 'failure', failure: details === undefined ? reported : { ...reported, details } };
}

export function failure(code: string, message: string, retryable: boolean, retryAfterMs?: number): ExecutionResult {
  return { result: 'failure', failure: { code, message, retryable, retryAfterMs } };
}
