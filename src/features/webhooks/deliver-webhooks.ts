/**
 * Delivers webhooks and callbacks from a transactional outbox: a delivery is a row, written with its event. It is leased for
 * as long as a call may last, so after a crash of its worker it is made again, with the same `webhook-id`. Lanes go side by
 * side: a slow receiver delays itself alone. A host that does not answer at all has a circuit: it is tried again with one
 * call after a while, longer each time, and what waits for it takes no room from others.
 */

import { errorMessage } from '../../domain/texts/error-message.ts';
import { within } from '../../engine/deliver/time-limit.ts';
import type { Failpoint } from '../../engine/ports/failpoint.ts';
import type { Logger } from '../../engine/ports/logger.ts';
import type { CallSpans, OpenCall } from '../../engine/tracing/call-spans.ts';
import { runSpanId } from '../../engine/tracing/span-ids.ts';
import { bodyOf } from './delivery-body.ts';
import type { DueDelivery, WebhookDeliveryStore } from './ports.ts';
import { webhookHeaders } from './sign-webhook.ts';

export interface DeliveryDeps {
  deliveries: WebhookDeliveryStore;
  fetch(
    url: string,
    init: { method: 'POST'; headers: Record<string, string>; body: string; signal: AbortSignal; tenantId: string },
  ): Promise<{ status: number }>;
  /** Each signs the callbacks. */
  callbackSecrets: readonly string[];
  /** false: a host that does not answer gets no circuit. */
  breakers: boolean;
  now(): Date;
  random(): number;
  failpoint: Failpoint;
  /** Undefined: calls are not written down. */
  calls: Pick<CallSpans, 'begin'> | undefined;
  log: Logger;
}

export interface DeliveryPump {
  /** Takes what is due; resolves before it is delivered. */
  pass(signal: AbortSignal): Promise<void>;
  /** Resolves when no call is under way. */
  idle(): Promise<void>;
}

/** Calls of one worker that are under way at the same time. */
const PER_LANE = 25;
const PER_TENANT = 250;
const TIMEOUT_MS = 10_000;
/** Longer than the call and its mark may take. */
const LEASE_MS = 20_000;
/** Seconds after the first, second, … failed call, less up to a fifth; after that it is dead. About three days in all. */
const DELAYS_SECONDS = [5, 30, 120, 600, 1_800, 7_200, 21_600, 43_200, 86_400, 86_400];
const JITTER = 0.2;
/** A webhook of which nothing has succeeded for so long, and more than once was tried, is not tried any more. */
const DISABLE_AFTER_SECONDS = 5 * 86_400;
const GONE = 410;
/** What proxies say for a host that is not there, and hosts that have too much to do. */
const UNAVAILABLE: ReadonlySet<number> = new Set([429, 502, 503, 504]);
const MAX_ERROR = 500;

export function createDeliveryPump(deps: DeliveryDeps): DeliveryPump {
  const lanes = new Map<string, number>();
  const tenants = new Map<string, number>();
  const underWay = new Set<Promise<void>>();

  async function work(delivery: DueDelivery, stopping: AbortSignal): Promise<void> {
    count(lanes, delivery.lane, 1);
    count(tenants, delivery.tenantId, 1);
    try {
      await deliver(deps, delivery, stopping);
    } catch (error) {
      // It could not be written down, so it is delivered again.
      deps.log.warn('webhook_not_marked', { ...namesOf(delivery), error: errorMessage(error) });
    } finally {
      count(lanes, delivery.lane, -1);
      count(tenants, delivery.tenantId, -1);
    }
  }

  return {
    async pass(signal) {
      const room = { perLane: PER_LANE, perTenant: PER_TENANT, lanes, tenants };
      for (const delivery of await deps.deliveries.takeDue(room, LEASE_MS)) {
        const call = work(delivery, signal);
        underWay.add(call);
        void call.then(() => underWay.delete(call));
      }
    },
    async idle() {
      await Promise.all(underWay);
    },
  };
}

function count(counts: Map<string, number>, key: string, change: number): void {
  const now = (counts.get(key) ?? 0) + change;
  if (now === 0) counts.delete(key);
  else counts.set(key, now);
}

/** How long after that many calls the next one is made; undefined: there is none. */
export function webhookDelay(attempts: number, random: number): number | undefined {
  const delay = DELAYS_SECONDS[attempts - 1];
  return delay === undefined ? undefined : delay * (1 - JITTER * random);
}

async function deliver(deps: DeliveryDeps, delivery: DueDelivery, stopping: AbortSignal): Promise<void> {
  const payload = await bodyOf(deps.deliveries, delivery).catch((error: unknown) => new Error(errorMessage(error)));
  // The next end has a delivery of its own.
  if (payload === undefined)
    return drop(deps, delivery, 'The execution was started again before this could be delivered');
  const unsendable = payload instanceof Error ? payload.message : delivery.unsignable;
  const body = JSON.stringify(payload);
  const signal = within(TIMEOUT_MS, stopping);
  const call = spanOf(deps.calls, delivery);
  const trace = call === undefined ? {} : { traceparent: call.traceparent };
  const secrets = delivery.webhookId === null ? deps.callbackSecrets : delivery.secrets;
  const headers = { ...webhookHeaders(secrets, delivery.id, deps.now(), body), ...trace };
  const { tenantId } = delivery;
  const calling =
    unsendable === undefined
      ? deps.fetch(delivery.url, { method: 'POST', headers, body, signal, tenantId })
      : Promise.reject(new Error(unsendable));
  const answer = await calling.then(
    ({ status }) => ({ status, error: status >= 200 && status < 300 ? undefined : `answered ${status}` }),
    (error: unknown) => ({ status: null, error: errorMessage(error) }),
  );
  if (answer.status === null) call?.failed(answer.error);
  else call?.answered(answer.status);
  await deps.failpoint('webhook.afterCall');
  if (answer.error === undefined && answer.status !== null) return deps.deliveries.delivered(delivery, answer.status);
  // The end of this worker says nothing about the other side; its lease ends soon.
  if (stopping.aborted) return undefined;
  const again = webhookDelay(delivery.attempts, deps.random());
  const failure = {
    status: answer.status,
    error: (answer.error ?? '').slice(0, MAX_ERROR),
    gone: answer.status === GONE,
    unavailable: deps.breakers && (answer.status === null ? unsendable === undefined : UNAVAILABLE.has(answer.status)),
  };
  const { attempts, kind } = delivery;
  deps.log.warn(delivery.webhookId === null ? 'callback_failed' : 'webhook_failed', {
    ...namesOf(delivery),
    kind,
    attempts,
    problem: failure.error,
    again: again !== undefined,
  });
  if (await deps.deliveries.failed(delivery, failure, again, DISABLE_AFTER_SECONDS)) {
    deps.log.error('webhook_disabled', { webhook_id: delivery.webhookId, problem: failure.error });
  }
  return undefined;
}

async function drop(deps: DeliveryDeps, delivery: DueDelivery, error: string): Promise<void> {
  const failure = { status: null, error, gone: false, unavailable: false };
  await deps.deliveries.failed(delivery, failure, undefined, DISABLE_AFTER_SECONDS);
}

function namesOf({ id, webhookId, runId }: DueDelivery): Record<string, unknown> {
  return { delivery_id: id, ...(webhookId === null ? { run_id: runId } : { webhook_id: webhookId }) };
}

function spanOf(calls: DeliveryDeps['calls'], delivery: DueDelivery): OpenCall | undefined {
  const { runId, traceId, parentSpan, tenantId, actionId, epoch, attempt, url } = delivery;
  if (runId === null || traceId === null) return undefined;
  const kind = delivery.webhookId === null ? ('callback' as const) : ('webhook' as const);
  const origin = { tenantId, traceId, parentSpan, parentId: runSpanId(runId), kind };
  return calls?.begin({ ...origin, runId, actionId, epoch, attempt }, { method: 'POST', url });
}
