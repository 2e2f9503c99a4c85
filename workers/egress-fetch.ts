/** `AdapterContext.fetch` on top of the outbound dispatcher: adds the run's headers, turns its faults into retries or ends. */

import type { Egress } from '../src/egress/egress.ts';
import { EgressError } from '../src/egress/errors.ts';
import { type AdapterContext, NonRetryableError, RetryableError } from './adapter.ts';

export interface FetchOfRun {
  /** The deadline and cancellation of the attempt. */
  signal: AbortSignal;
  idempotencyKey: string;
  correlationId: string | undefined;
  traceparent: string | undefined;
}

export function createAdapterFetch(egress: Egress, run: FetchOfRun): AdapterContext['fetch'] {
  const own: Array<[string, string]> = [['idempotency-key', run.idempotencyKey]];
  if (run.correlationId !== undefined) own.push(['x-correlation-id', run.correlationId]);
  if (run.traceparent !== undefined) own.push(['traceparent', run.traceparent]);

  return async (url, init = {}) => {
    const given = Object.entries(init.headers ?? {});
    const names = new Set(given.map(([name]) => name.toLowerCase()));
    const signal = init.signal === undefined ? run.signal : AbortSignal.any([run.signal, init.signal]);
    try {
      return await egress.fetch(url, {
        ...init,
        headers: Object.fromEntries([...own.filter(([name]) => !names.has(name)), ...given]),
        signal,
      });
    } catch (error) {
      throw error instanceof EgressError ? toAdapterError(error) : error;
    }
  };
}

function toAdapterError(error: EgressError): RetryableError | NonRetryableError {
  switch (error.fault) {
    case 'denied':
      return new NonRetryableError(error.message, { code: 'egress_denied', cause: error });
    case 'bad_request':
      return new NonRetryableError(error.message, { code: 'input_invalid', cause: error });
    case 'too_large':
      return new NonRetryableError(error.message, { code: 'output_too_large', cause: error });
    case 'too_many_redirects':
      return new NonRetryableError(error.message, { code: 'upstream_rejected', cause: error });
    case 'bad_answer':
      return new RetryableError(error.message, { code: 'upstream_error', cause: error });
    case 'unreachable':
      return new RetryableError(error.message, { code: 'network_error', cause: error });
  }
}
