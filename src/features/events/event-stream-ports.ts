/** The outbox of the stream of all events. */
import type { StreamPosition } from '../../engine/ports/event-stream.ts';
import type { JsonObject } from '../../schemas/json.ts';
import type { LoggedEvent } from './event-log-ports.ts';

/** An event to be sent. Undefined event: it was removed with its run. */
export interface PendingEvent {
  outId: string;
  event: LoggedEvent | undefined;
}

export interface EventsOut {
  /** Makes sure that events are written down for the stream from now on. */
  subscribe(): Promise<void>;
  /** Something waits to be sent, or was sent as something greater than `last`. */
  hasPending(last: StreamPosition): Promise<boolean>;
  /** Undefined when another process is at it. Resolves when what `work` did is committed. */
  exclusively<T>(work: (outbox: LockedOutbox) => Promise<T>): Promise<T | undefined>;
  /** Takes away what was sent a while ago, and what nobody took for days; how many of the latter. */
  removeOld(limit: number): Promise<{ sent: number; unsent: number }>;
}

export interface LockedOutbox {
  waiting(limit: number): Promise<PendingEvent[]>;
  /** `undefined`: there was nothing to send. */
  sent(marks: ReadonlyArray<{ outId: string; as: StreamPosition | undefined }>): Promise<void>;
  /** What was sent as something greater is to be sent again; how many. */
  requeueLost(last: StreamPosition): Promise<number>;
}

/** An event in its public format. */
export function publicEvent({ id, kind, correlationId, traceId, runId, tenantId, at, data }: LoggedEvent): JsonObject {
  return {
    event_id: id,
    event_type: kind,
    correlation_id: correlationId,
    trace_id: traceId,
    execution_id: runId,
    tenant_id: tenantId,
    timestamp: at.toISOString(),
    data,
  };
}
