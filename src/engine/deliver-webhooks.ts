/**
 * Makes the calls that webhooks are owed. A delivery is a row, written with its event; it is taken for as long as a call may
 * last, so one whose worker dies before it has said so is made again, with the same `webhook-id`. Webhooks go side by side:
 * one that is slow holds up itself alone.
 */
import type { CallSpans, OpenCall } from './call-spans.ts';
import type { Failpoint } from './failpoint.ts';
import type { Logger } from './ports.ts';
import { webhookHeaders } from './sign-webhook.ts';
import { runSpanId } from './span-ids.ts';
import { within } from './time-limit.ts';
import type { DueDelivery, WebhookDeliveryStore } from './webhook-ports.ts';

export interface DeliverWebhooksDeps {
  deliveries: WebhookDeliveryStore;
  fetch(
    url: string,
    init: { method: 'POST'; headers: Record<string, string>; body: string; signal: AbortSignal; tenantId: string },
  ): Promise<{ status: number }>;
  now(): Date;
  random(): number;
  failpoint: Failpoint;
  /** Undefined: calls are not written down. */
  calls: Pick<CallSpans, 'begin'> | undefined;
  log: Logger;
}

export interface WebhookPump {
  /** Takes what is due; resolves before it is delivered. */
  pass(signal: AbortSignal): Promise<void>;
  /** Resolves when no call is under way. */
  idle(): Promise<void>;
}

const PER_WEBHOOK = 25;
const TIMEOUT_MS = 10_000;
/** Longer than the call and its mark may take. */
const LEASE_MS = 20_000;
/** Seconds after the first, second, … failed call, less up to a fifth; after that it is dead. About three days in all. */
const DELAYS_SECONDS = [5, 30, 120, 600, 1_800, 7_200, 21_600, 43_200, 86_400, 86_400];
const JITTER = 0.2;
/** A webhook of which nothing has succeeded for so long, and more than once was tried, is not tried any more. */
const DISABLE_AFTER_SECONDS = 5 * 86_400;
const GONE = 410;
const MAX_ERROR = 500;

export function createWebhookPump(deps: DeliverWebhooksDeps): WebhookPump {
  const busy = new Map<string, Promise<void>>();

  async function work(webhookId: string, due: readonly DueDelivery[], stopping: AbortSignal): Promise<void> {
    try {
      await Promise.all(due.map((delivery) => deliver(deps, delivery, stopping)));
    } catch (error) {
      // It could not be written down, so it is delivered again.
      const reason = error instanceof Error ? error.message : String(error);
      deps.log.warn('webhook_not_marked', { webhook_id: webhookId, error: reason });
    } finally {
      busy.delete(webhookId);
    }
  }

  return {
    async pass(signal) {
      const due = await deps.deliveries.takeDue(PER_WEBHOOK, [...busy.keys()], LEASE_MS);
      for (const webhookId of new Set(due.map((delivery) => delivery.webhookId))) {
        const own = due.filter((delivery) => delivery.webhookId === webhookId);
        busy.set(webhookId, work(webhookId, own, signal));
      }
    },
    async idle() {
      await Promise.all(busy.values());
    },
  };
}

/** How long after that many calls the next one is made; undefined: there is none. */
export function webhookDelay(attempts: number, random: number): number | undefined {
  const delay = DELAYS_SECONDS[attempts - 1];
  return delay === undefined ? undefined : delay * (1 - JITTER * random);
}

async function deliver(deps: DeliverWebhooksDeps, delivery: DueDelivery, stopping: AbortSignal): Promise<void> {
  const body = JSON.stringify(payloadOf(delivery));
  const signal = within(TIMEOUT_MS, stopping);
  const call = spanOf(deps.calls, delivery);
  const trace = call === undefined ? {} : { traceparent: call.traceparent };
  const headers = { ...webhookHeaders(delivery.secrets, delivery.id, deps.now(), body), ...trace };
  const { tenantId } = delivery;
  const calling =
    delivery.unsignable === undefined
      ? deps.fetch(delivery.url, { method: 'POST', headers, body, signal, tenantId })
      : Promise.reject(new Error(delivery.unsignable));
  const answer = await calling.then(
    ({ status }) => ({ status, error: status >= 200 && status < 300 ? undefined : `answered ${status}` }),
    (error: unknown) => ({ status: null, error: error instanceof Error ? error.message : String(error) }),
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
  };
  const { webhookId, attempts, kind } = delivery;
  deps.log.warn('webhook_failed', {
    webhook_id: webhookId,
    delivery_id: delivery.id,
    kind,
    attempts,
    problem: failure.error,
  });
  if (await deps.deliveries.failed(delivery, failure, again, DISABLE_AFTER_SECONDS)) {
    deps.log.error('webhook_disabled', { webhook_id: webhookId, problem: failure.error });
  }
  return undefined;
}

function spanOf(calls: DeliverWebhooksDeps['calls'], delivery: DueDelivery): OpenCall | undefined {
  const { runId, traceId, parentSpan, tenantId, actionId, epoch, attempt, url } = delivery;
  if (runId === null || traceId === null) return undefined;
  const origin = { tenantId, traceId, parentSpan, parentId: runSpanId(runId), kind: 'webhook' as const };
  return calls?.begin({ ...origin, runId, actionId, epoch, attempt }, { method: 'POST', url });
}

/** The same for every try: it is made of the row, and of what never changes in the run. */
function payloadOf(delivery: DueDelivery): object {
  const { kind, at, runId, workflowId, correlationId, actionId, epoch, attempt, data } = delivery;
  const timestamp = at.toISOString();
  if (runId === null) return { type: kind, timestamp, data: {} };
  return {
    type: kind,
    timestamp,
    data: {
      execution_id: runId,
      workflow_id: workflowId,
      correlation_id: correlationId,
      action_id: actionId,
      epoch,
      attempt,
      details: data,
    },
  };
}
