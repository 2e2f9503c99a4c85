/** The stream of all events outside of the database, as the rooms of events and of the queue know it. */
import type { JsonObject } from '../../schemas/json.ts';

/** Of an entry: milliseconds and a number, which together rise. Both are larger than any other number here may get. */
export interface StreamPosition {
  ms: bigint;
  n: bigint;
}

export interface EventStream {
  readonly name: string;
  /** Of the newest entry there ever was in the stream that is there now; zero when there is none. Rejects when Redis is away. */
  last(): Promise<StreamPosition>;
  /** In order, all or none; when it rejects nobody knows which. `name`: another stream. */
  append(events: readonly JsonObject[], name?: string): Promise<StreamPosition[]>;
}
