/** `AdapterContext.fetch` on top of the outbound dispatcher: adds the run's headers, turns its faults into retries or ends. */

import type { Egress } from '../src/egress/egress.ts';
import { EgressError } from '../src/egress/errors.ts';
import { firstOf } from '../src/engine/deliver/time-limit.ts';
import type { OpenCall } from '../src/engine/tracing/call-spans.ts';
import { type AdapterContext, NonRetryableError, RetryableError } from './adapter.ts';

const VISIBLE = /^[\x20-\x7e]{1,255}$/;

export interface FetchOfRun {
  /** The deadline and cancellation of the attempt. */
  signal: AbortSignal;
  idempotencyKey: string;
  /** Of what a compensation compensates. */
  compensatedKey?: string | undefined;
  tenantId: string;
  correlationId: string | undefined;
  traceparent: string | undefined;
  /** For a request that contains secrets: where they may not go, and what is one. */
  withhold?: ((url: URL) => string | undefined) | undefined;
  mask?: ((text: string) => string) | undefined;
  /** Writes the call down as a span of its own, which is the parent of whatever it brings about. */
  startSpan?(call: { method: string; url: string; service: string | undefined }): OpenCall | undefined;
}

export function createAdapterFetch(egress: Egress, run: FetchOfRun): AdapterContext['fetch'] {
  const own: Array<[string, string]> = [['idempotency-key', run.idempotencyKey]];
  if (run.compensatedKey !== undefined) own.push(['compensates-idempotency-key', run.compensatedKey]);
  // Of a body it is any text; what is no value of a header must not fail the task.
  if (run.correlationId !== undefined && VISIBLE.test(run.correlationId)) {
    own.push(['x-correlation-id', run.correlationId]);
  }

  return async (url, { service, ...init } = {}) => {
    const call = run.startSpan?.({ method: init.method ?? 'GET', url, service });
    const traceparent = call?.traceparent ?? run.traceparent;
    const all = traceparent === undefined ? own : [...own, ['traceparent', traceparent] as const];
    const requested = Object.entries(init.headers ?? {});
    const names = new Set(requested.map(([name]) => name.toLowerCase()));
    const signal = init.signal === undefined ? run.signal : firstOf(run.signal, init.signal);
    try {
      const answer = await egress.fetch(url, {
        ...init,
        ...(service === undefined ? {} : { certificateFor: { service } }),
        tenantId: run.tenantId,
        source: run.idempotencyKey,
        headers: Object.fromEntries([...all.filter(([name]) => !names.has(name)), ...requested]),
        signal,
        ...(run.withhold === undefined ? {} : { withhold: run.withhold }),
        ...(run.mask === undefined ? {} : { mask: run.mask }),
      });
      call?.answered(answer.status);
      return answer;
    } catch (error) {
      const thrown = error instanceof EgressError ? toAdapterError(error) : error;
      call?.failed(reasonOf(thrown));
      throw thrown;
    }
  };
}

/** For everybody who may see the trace: what cannot be sent is not repeated, it may contain a secret. */
function reasonOf(error: unknown): string {
  if (error instanceof RetryableError || error instanceof NonRetryableError)
    return error.code === 'input_invalid' ? error.code : `${error.code}: ${error.message}`;
  return error instanceof Error ? error.message : 'failed';
}

function toAdapterError(error: EgressError): RetryableError | NonRetryableError {
  switch (error.fault) {
    case 'denied':
      return new NonRetryableError(error.message, { code: 'egress_denied', cause: error });
    case 'withheld':
      return new NonRetryableError(error.message, { code: 'secret_not_allowed', cause: error });
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
