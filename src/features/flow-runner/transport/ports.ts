/**
 * How messages of flow runs come and go. A transport only carries them: what was decided is in PostgreSQL, so an offset
 * follows a commit, and a message may come, or be sent, more than once. Kafka and Redis Streams implement the same port.
 */

export type MessageHeaders = Readonly<Record<string, string>>;

export interface IncomingMessage {
  topic: string;
  partition: number;
  /** Of Kafka a number, of Redis Streams the id of the entry. */
  offset: string;
  key: string | null;
  /** Null: the message says nothing (a tombstone). */
  value: Buffer | null;
  headers: MessageHeaders;
  /** When it was written, by the word of its writer or of the broker. */
  timestamp: Date;
}

export interface OutgoingMessage {
  topic: string;
  key: string;
  value: string;
  headers: MessageHeaders;
}

/**
 * Messages of one partition, in their order. Resolves to how many of the first are done with: their offsets may be committed.
 * The partition rests a second before the others are delivered again, and so it does when this throws, with none done with.
 * `signal` aborts when the partition is taken away or the process stops: what is in hand may be finished, or given back.
 */
export type HandleMessages = (messages: readonly IncomingMessage[], signal: AbortSignal) => Promise<number>;

export interface Subscription {
  topics: readonly string[];
  /** The consumer group: each message goes to one member of it. */
  group: string;
  handle: HandleMessages;
}

export interface Consumer {
  /** Gives back what is in hand, commits what is done with, and leaves the group. */
  close(): Promise<void>;
}

/** How many messages of a partition the group has not done with. */
export interface PartitionLag {
  topic: string;
  partition: number;
  lag: number;
}

/** What is wrong between a group and its topics, for `npm run doctor`. */
export interface TopicCheck {
  topic: string;
  exists: boolean;
  /** Of partitions whose committed offset lies beyond their end. */
  beyondEnd: readonly number[];
}

export interface Transport {
  readonly name: 'kafka' | 'redis-streams';
  /** Consumes until it is closed. A broker that is away is waited for, and that is logged. */
  consume(subscription: Subscription): Consumer;
  /**
   * Resolves when all replicas have all of them. Throws when that is not known of one; those of the same key arrive in the
   * order in which they stand here.
   */
  publish(messages: readonly OutgoingMessage[]): Promise<void>;
  /** Throws when no broker answers within the time limit of the transport. */
  ping(): Promise<void>;
  lag(group: string, topics: readonly string[]): Promise<PartitionLag[]>;
  check(group: string, topics: readonly string[]): Promise<TopicCheck[]>;
  close(): Promise<void>;
}

/** Why a message went to the dead letters. */
export const POISON_CODES = [
  'invalid_json',
  'message_too_large',
  'invalid_message',
  'unknown_flow',
  'unknown_handler',
  'run_id_conflict',
  'tenant_not_allowed',
] as const;
export type PoisonCode = (typeof POISON_CODES)[number];
