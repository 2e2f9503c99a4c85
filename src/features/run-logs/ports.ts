/** The log of a run: what its adapters said, and its events among it if requested, in the order of time. */

import type { LogLevel } from '../../engine/ports/logger.ts';
import type { JsonObject } from '../../schemas/json.ts';

export interface LogPosition {
  at: Date;
  /** 0: a line, 1: an event. */
  kind: number;
  id: string;
}

export interface LogEntry {
  position: LogPosition;
  /** Null: an event of the run itself. */
  actionId: string | null;
  epoch: number;
  attempt: number | null;
  /** Null: an event. */
  level: LogLevel | null;
  /** Of an event its kind. */
  message: string;
  fields: JsonObject | null;
  at: Date;
}

export interface LogFilter {
  actionId: string | undefined;
  levels: readonly LogLevel[];
  attempt: number | undefined;
  events: boolean;
}

export interface LogReader {
  /** Undefined: the tenant has no such run. `dropped`: lines that were not stored. */
  page(
    tenantId: string,
    runId: string,
    filter: LogFilter,
    window: { limit: number; after: LogPosition | undefined },
  ): Promise<{ entries: LogEntry[]; more: boolean; dropped: number } | undefined>;
}
