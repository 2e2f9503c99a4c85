/**
 * Tells `callback_url` how a run ended. The row says what is still to be told, so nothing is lost with a worker; each
 * call is tried again with growing delays, at least once in all, and signed when there is a secret
 * (https://www.standardwebhooks.com).
 */
import type { CallSpans, OpenCall } from './call-spans.ts';
import type { CallbackStore, DueCallback, Logger } from './ports.ts';
import { webhookHeaders } from './sign-webhook.ts';
import { runSpanId } from './span-ids.ts';
import { within } from './time-limit.ts';

export interface CallbackDeps {
  callbacks: CallbackStore;
  fetch(
    url: string,
    init: { method: 'POST'; headers: Record<string, string>; body: string; signal: AbortSignal; tenantId: string },
  ): Promise<{ status: number }>;
  /** Each signs. */
  secrets: readonly string[];
  now(): Date;
  /** Undefined: calls are not written down. */
  calls: Pick<CallSpans, 'begin'> | undefined;
  log: Logger;
}

const PER_PASS = 50;
const TIMEOUT_MS = 10_000;
/** Seconds after the first, second, … failed call; then it is given up. */
const DELAYS_SECONDS = [5, 30, 120, 600, 1_800, 7_200, 21_600];

/** Delivers what is due; resolves to how many were tried. */
export async function deliverCallbacks(deps: CallbackDeps, signal: AbortSignal): Promise<number> {
  const due = await deps.callbacks.takeDue(PER_PASS, TIMEOUT_MS * 2);
  await Promise.all(due.map((callback) => deliver(deps, callback, signal)));
  return due.length;
}

async function deliver(deps: CallbackDeps, callback: DueCallback, stopping: AbortSignal): Promise<void> {
  const body = JSON.stringify(callback.body);
  const signal = within(TIMEOUT_MS, stopping);
  const call = spanOf(deps.calls, callback);
  const signed = webhookHeaders(deps.secrets, `${callback.runId}.${callback.epoch}`, deps.now(), body);
  const headers = { ...signed, ...(call === undefined ? {} : { traceparent: call.traceparent }) };
  const problem = await deps
    .fetch(callback.url, { method: 'POST', headers, body, signal, tenantId: callback.tenantId })
    .then(
      ({ status }) => {
        call?.answered(status);
        return status >= 200 && status < 300 ? undefined : `answered ${status}`;
      },
      (error: unknown) => {
        const reason = error instanceof Error ? error.message : String(error);
        call?.failed(reason);
        return reason;
      },
    );
  if (problem === undefined) return deps.callbacks.delivered(callback.runId, callback.epoch);
  const delay = DELAYS_SECONDS[callback.attempts];
  deps.log.warn('callback_failed', {
    run_id: callback.runId,
    attempt: callback.attempts + 1,
    problem,
    again: delay !== undefined,
  });
  await (delay === undefined
    ? deps.callbacks.delivered(callback.runId, callback.epoch)
    : deps.callbacks.again(callback.runId, callback.epoch, delay));
}

function spanOf(calls: CallbackDeps['calls'], callback: DueCallback): OpenCall | undefined {
  const { runId, traceId, parentSpan, tenantId, epoch, url } = callback;
  if (traceId === null) return undefined;
  const origin = { tenantId, traceId, parentSpan, parentId: runSpanId(runId), kind: 'callback' as const };
  return calls?.begin({ ...origin, runId, actionId: null, epoch, attempt: null }, { method: 'POST', url });
}
