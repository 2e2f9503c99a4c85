/**
 * Replays events to a target, in their order, each under the id that it always had: a replay that is tried again repeats
 * events, and the receiver recognises them.
 */

import type { EventStream } from '../../engine/ports/event-stream.ts';
import type { ExecutionCall } from '../../engine/ports/executor.ts';
import type { AcceptRuns, Caller } from '../../engine/ports/use-cases.ts';
import type { ReplayWebhooks } from '../webhooks/ports.ts';
import { webhookHeaders } from '../webhooks/sign-webhook.ts';
import type { EventLogStore, EventPosition, LoggedEvent } from './event-log-ports.ts';
import { publicEvent } from './event-stream-ports.ts';
import type { ReplayTarget } from './replay.ts';

export interface ReplayRequest {
  positions: readonly EventPosition[];
  target: ReplayTarget;
  signal: AbortSignal;
  onProgress(percent: number): void;
  /** Through the outbound policy; throws when it is not taken. */
  post(url: string, headers: Record<string, string>, body: string): Promise<void>;
}

declare module '../../../workers/adapter.ts' {
  interface EngineCapabilities {
    /** Replays events to a target; resolves to how many there still are. */
    replay?(request: ReplayRequest): Promise<number>;
  }
}

export interface ReplayDeps {
  log: Pick<EventLogStore, 'read'>;
  webhooks: ReplayWebhooks;
  accept: Pick<AcceptRuns, 'executeWorkflow'>;
  /** Undefined: none is configured. */
  stream: EventStream | undefined;
  /** Signs where the tenant has no webhook of that address. */
  secrets: readonly string[];
  now(): Date;
}

const AT_ONCE = 100;

export function createReplay(
  deps: ReplayDeps,
): (call: ExecutionCall) => { replay(request: ReplayRequest): Promise<number> } {
  return (call) => ({
    async replay(request) {
      const send = await senderTo(deps, call, request);
      let sent = 0;
      for (let at = 0; at < request.positions.length; at += AT_ONCE) {
        request.signal.throwIfAborted();
        const events = await deps.log.read(call.run.tenantId, request.positions.slice(at, at + AT_ONCE));
        await send(events);
        sent += events.length;
        request.onProgress(
          Math.floor((100 * Math.min(at + AT_ONCE, request.positions.length)) / request.positions.length),
        );
      }
      return sent;
    },
  });
}

async function senderTo(
  deps: ReplayDeps,
  { run, idempotencyKey }: ExecutionCall,
  { target, post, signal }: ReplayRequest,
): Promise<(events: readonly LoggedEvent[]) => Promise<void>> {
  if ('webhook_url' in target) {
    const { webhook_url: url } = target;
    const own = await deps.webhooks.secretsOf(run.tenantId, url);
    const secrets = own.length > 0 ? own : deps.secrets;
    return async (events) => {
      for (const event of events) {
        signal.throwIfAborted();
        const body = JSON.stringify(payloadOf(event));
        await post(url, webhookHeaders(secrets, event.id, deps.now(), body), body);
      }
    };
  }
  if ('stream' in target) {
    const { stream } = deps;
    if (stream === undefined) throw new Error('this worker has no stream: EVENTS_STREAM is not set');
    return async (events) => void (await stream.append(events.map(publicEvent), target.stream));
  }
  if ('workflow_id' in target) {
    return async (events) => {
      for (const event of events) {
        signal.throwIfAborted();
        const { tenantId, userId } = run;
        const traceId = event.traceId ?? run.traceId ?? '';
        const caller: Caller = { tenantId, userId, correlationId: event.correlationId ?? undefined, traceId };
        await deps.accept.executeWorkflow(caller, target.workflow_id, {
          parameters: { event: publicEvent(event) },
          // Another attempt of this replay starts nothing twice; another replay starts it once more.
          idempotency_key: `${idempotencyKey}.${event.id}`,
          strict: false,
        });
      }
    };
  }
  return (events) => deps.webhooks.enqueue(run.tenantId, events, idempotencyKey);
}

/** As a webhook says it. */
function payloadOf({ kind, at, correlationId, data }: LoggedEvent): object {
  return { type: kind, timestamp: at.toISOString(), data: { ...data, correlation_id: correlationId } };
}
