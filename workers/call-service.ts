/** One call of a service, what its end says about the service, and whether another instance may be tried as well. */
import { addressBelow } from '../src/domain/service-address.ts';
import { type AdapterContext, type CallOutcome, NonRetryableError, RetryableError } from './adapter.ts';

interface ServiceCall {
  service: string;
  method: string;
  /** What an open circuit means. */
  onOpen: 'fail' | 'wait';
}

export type Exchange<T> = { outcome: CallOutcome } & ({ value: T } | { error: unknown });

/** Idempotent methods (RFC 9110, 9.2.2). */
const REPEATABLE = new Set(['GET', 'HEAD', 'PUT', 'DELETE', 'OPTIONS']);
/** The request was never sent. */
const NOT_CONNECTED = new Set([
  'ECONNREFUSED',
  'EHOSTUNREACH',
  'ENETUNREACH',
  'ENOTFOUND',
  'EAI_AGAIN',
  'UND_ERR_CONNECT_TIMEOUT',
]);

/**
 * Calls an instance of the service, and others while the one before has failed, it does no harm, and the retry budget of
 * the service lasts.
 */
export async function callService<T>(
  { service, method, onOpen }: ServiceCall,
  context: AdapterContext,
  exchange: (baseUrl: string, signal: AbortSignal) => Promise<Exchange<T>>,
): Promise<T> {
  const besides: string[] = [];
  let failed: unknown;
  for (;;) {
    const again = besides.length > 0;
    const permit = await context.acquire(service, { besides, again, wait: onOpen === 'wait' });
    if (permit === undefined)
      throw failed ?? new NonRetryableError(`the service '${service}' is gone`, { code: 'service_unknown' });
    const timeout = new AbortController();
    const timer = setTimeout(() => timeout.abort(), Math.min(permit.timeoutSeconds * 1_000, 2 ** 31 - 1));
    const signal = AbortSignal.any([context.signal, timeout.signal]);
    const end = await exchange(permit.baseUrl, signal).catch((error: unknown): Exchange<T> => {
      if (!timeout.signal.aborted || context.signal.aborted)
        return { outcome: outcomeOf(error, context.signal), error };
      const late = `${service} did not answer within ${permit.timeoutSeconds} s`;
      return { outcome: 'failed', error: new RetryableError(late, { code: 'timeout', cause: error }) };
    });
    // The timer must not outlive the call by minutes.
    clearTimeout(timer);
    await context.release(permit, end.outcome);
    if ('value' in end) return end.value;
    failed = end.error;
    if (context.signal.aborted || end.outcome !== 'failed' || !mayTryAnother(method, failed)) throw failed;
    besides.push(permit.instanceId);
  }
}

/** Of what was thrown before there was an answer. */
function outcomeOf(error: unknown, signal: AbortSignal): CallOutcome {
  if (signal.aborted) {
    return signal.reason instanceof Error && signal.reason.name === 'TimeoutError' ? 'failed' : 'unclear';
  }
  return error instanceof RetryableError ? 'failed' : 'unclear';
}

function mayTryAnother(method: string, error: unknown): boolean {
  if (REPEATABLE.has(method)) return true;
  for (let cause = error; cause instanceof Error; cause = cause.cause) {
    if ('code' in cause && typeof cause.code === 'string' && NOT_CONNECTED.has(cause.code)) return true;
  }
  return false;
}

export function belowService(base: string, endpoint: string): URL {
  const target = addressBelow(base, endpoint);
  if (target === undefined) {
    throw new NonRetryableError(`endpoint must be a path below the address of the service, not ${endpoint}`, {
      code: 'input_invalid',
    });
  }
  return target;
}
