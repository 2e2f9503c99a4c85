/** What the engine's queue needs of BullMQ, whether it runs on Redis or on PostgreSQL. */
import type { FlowProducer, KeepJobs, Processor, Queue, Worker, WorkerOptions } from 'bullmq';
import type { QueueUse } from '../domain/fairness/queue-room.ts';
import type { Logger } from '../engine/ports/logger.ts';
import type { JobData } from '../schemas/job.ts';
import type { RedisServers } from '../schemas/redis-servers.ts';

/** The message of a timeout, to which the time is added. */
export const NO_RESPONSE = 'the queue did not answer';

export interface BackendOptions {
  /** Undefined: the queue is in the database. */
  redis: RedisServers | undefined;
  databaseUrl: string;
  prefix: string;
  /** How many shards the queue has; 1 unless said. In PostgreSQL it has one. */
  shards?: number;
  /**
   * What commands do without a connection. The API must answer although Redis is away, so its commands fail at once; a
   * worker's wait for the connection, so that no task fails for it.
   */
  offlineCommands: 'fail' | 'wait';
  name: string;
  log: Logger;
}

export type LaneProcessor = Processor<JobData, null, string>;
export type LaneQueue = Queue<JobData, null, string>;
export type LaneWorker = Worker<JobData, null, string>;

/** The queues under one prefix. A run has all of its jobs in one shard. */
export interface Shard {
  queue(name: string): LaneQueue;
  worker(name: string, processor: LaneProcessor, options: Omit<WorkerOptions, 'connection' | 'prefix'>): LaneWorker;
  flows(): FlowProducer;
  /**
   * Whether the mark is that of this very server, and of as many shards. Without it the store has lost its content, or is
   * new; with another server's it was restarted or replaced, and may have lost its newest writes.
   */
  isMarked(): Promise<boolean>;
  mark(): Promise<void>;
  /** For how long the job is still locked; null: it is not locked any more. */
  lockLeftMs(queue: string, jobId: string): Promise<number | null>;
}

/** It is its first shard too, where what belongs to no run is. */
export interface Backend extends Shard {
  kind: 'redis' | 'postgres';
  /** All of them. */
  shards: readonly Shard[];
  /** How long completed jobs stay in the queue. */
  keepCompleted: KeepJobs;
  /** To be called with the number of jobs of each flow that was added. */
  added(jobs: number): Promise<void>;
  ping(): Promise<boolean>;
  /** Whether its workers are still notified of new jobs. True where only the jobs that they take can show it. */
  isListening(): Promise<boolean>;
  /**
   * Takes one start of those that all workers together have in each time; resolves to how long there is none left, 0 when
   * it was taken.
   */
  takeStart(lane: string, rate: { max: number; perMs: number }): Promise<number>;
  /** To be called when the server does not know a script that this connection believes to have sent. */
  forgetScripts(): Promise<void>;
  /** Undefined where there is no limit. */
  memoryUse(): Promise<QueueUse | undefined>;
  /** The store's own word for why it takes no writes, as READONLY; undefined: it takes them, or does not answer. */
  rejectsWrites(): Promise<string | undefined>;
  /** Called after a reconnect to another server than before, or to one that was restarted: it may have lost writes. */
  onOtherServer(listener: () => void): void;
  /**
   * How many jobs could be taken at once, by lane (see `laneName`), read over a new connection made for this; 0 for a queue
   * that is paused. Rejects when there is no answer within that time.
   */
  probeWaiting(lanes: readonly string[], timeoutMs: number): Promise<Map<string, number>>;
  /** Breaks every connection, so that each is made again. Commands under way are sent again. */
  reconnect(): void;
  /** Warnings for the operator at start about how the store is set up. */
  warnings(): Promise<string[]>;
  /** Before the end of a process, of a queue that cannot be reached: whatever waits for it fails, instead of for ever. */
  abandon(): void;
  close(): Promise<void>;
}
