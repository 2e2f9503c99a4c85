/** The events of a tenant: those of its runs, and those of the platform, in one order. */

import type { Caller } from '../../engine/ports/use-cases.ts';
import type { JsonObject } from '../../schemas/json.ts';

export interface LoggedEvent {
  /** Rises with time, over all runs of all tenants; the same wherever the event is sent. */
  id: string;
  /** `run.started` and `task.completed` of runs, `events.cleared` and the like of the platform. */
  kind: string;
  tenantId: string;
  runId: string | null;
  correlationId: string | null;
  traceId: string | null;
  at: Date;
  data: JsonObject;
}

/** Where an event is found: an id alone does not say in which run it is. */
export interface EventPosition {
  id: string;
  /** Null: an event of the platform. */
  runId: string | null;
}

/** What is left out is not filtered by. */
export interface EventFilter {
  kinds?: readonly string[] | undefined;
  correlationId?: string | undefined;
  runId?: string | undefined;
  from?: Date | undefined;
  to?: Date | undefined;
}

/** Without what a tenant has cleared. All read the newest runs of the tenant only (`MAX_RUNS`). */
export interface EventLogStore {
  /** Newest first, those before the event `before`. */
  list(
    tenantId: string,
    filter: EventFilter,
    window: { limit: number; before: string | undefined },
  ): Promise<{ events: LoggedEvent[]; more: boolean }>;
  /** No further than `atMost`. */
  count(tenantId: string, filter: EventFilter, atMost: number): Promise<number>;
  /** The first ones, oldest first. */
  positions(tenantId: string, filter: EventFilter, limit: number): Promise<EventPosition[]>;
  /** In the order of the positions; those that are gone are left out. */
  read(tenantId: string, positions: readonly EventPosition[]): Promise<LoggedEvent[]>;
  /** Undefined: too many kinds and correlation ids are cleared on their own already. */
  clear(
    caller: Caller,
    filter: Pick<EventFilter, 'kinds' | 'correlationId'>,
    maxEntries: number,
  ): Promise<number | undefined>;
}

/** What happened to a tenant that is not of one run: it is in its log, and goes to the stream. */
export type RecordPlatformEvent = (event: {
  tenantId: string;
  /** Lower case with dots: `registry.changed`. */
  kind: string;
  correlationId?: string | undefined;
  traceId?: string | undefined;
  runId?: string | undefined;
  data: JsonObject;
}) => Promise<void>;
