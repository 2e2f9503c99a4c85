/** The one place that knows whether BullMQ runs on Redis or on PostgreSQL. */
import { once } from 'node:events';
import type { Socket } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import {
  type BackendFactory,
  type ConnectionOptions,
  createPostgresBackend,
  FlowProducer,
  type KeepJobs,
  type Processor,
  Queue,
  type RedisQueueBackend,
  Worker,
  type WorkerOptions,
} from 'bullmq';
import { Redis } from 'ioredis';
import pg from 'pg';
import type { Logger } from '../engine/ports.ts';
import type { JobData } from '../schemas/job.ts';
import { createStatistics } from './statistics.ts';

export interface BackendOptions {
  redisUrl: string | undefined;
  databaseUrl: string;
  prefix: string;
  /** Workers of this process; on PostgreSQL each holds one connection to listen on. */
  workers: number;
  /**
   * A door must answer although Redis is away, so its commands fail at once; a worker's wait for the connection, so that
   * nothing it holds fails for it.
   */
  patience: 'fail' | 'wait';
  name: string;
  log: Logger;
}

export type LaneProcessor = Processor<JobData, null, string>;
export type LaneQueue = Queue<JobData, null, string>;
export type LaneWorker = Worker<JobData, null, string>;

export interface Backend {
  kind: 'redis' | 'postgres';
  queue(name: string): LaneQueue;
  worker(name: string, processor: LaneProcessor, options: Omit<WorkerOptions, 'connection' | 'prefix'>): LaneWorker;
  flows(): FlowProducer;
  /** How long completed jobs stay to be looked at. */
  keepCompleted: KeepJobs;
  /** Told how many jobs a flow had that was just added. */
  added(jobs: number): Promise<void>;
  ping(): Promise<boolean>;
  /**
   * Whether the mark is that of this very server. Without it the store has lost its content, or is new; with another
   * server's it was restarted or replaced, and may have lost its newest writes.
   */
  isMarked(): Promise<boolean>;
  mark(): Promise<void>;
  /** To be called when the server does not know a script that this connection believes to have sent. */
  forgetScripts(): Promise<void>;
  /** The share of its memory that the store uses, from 0 to 1; undefined where there is no limit. */
  memoryUse(): Promise<number | undefined>;
  /** Called after a reconnect to another server than before, or to one that was restarted: it may have lost writes. */
  onOtherServer(listener: () => void): void;
  /**
   * How many jobs could be taken at once, by queue, asked over a connection made for this one question; 0 for a queue
   * that is paused. Rejects when there is no answer within that time.
   */
  waitingAnew(queues: readonly string[], timeoutMs: number): Promise<Map<string, number>>;
  /** Breaks every connection, so that each is made anew. What they were asked is asked again. */
  reconnect(): void;
  /** What an operator should hear at start about how the store is set up. */
  warnings(): Promise<string[]>;
  close(): Promise<void>;
}

/** The name of a connection that is made to ask one question. */
const LOOK_SUFFIX = '-look';
/** Nobody listens to the events of a queue. BullMQ would keep 10,000 of each, some megabytes. */
const KEPT_EVENTS = 100;
/** How long a connection that is begun anew is waited for. */
const RENEWAL_MS = 2_000;

// BullMQ's classes carry their backend in their type. Nothing here uses what differs, so both are treated as one.
type Factory = BackendFactory<RedisQueueBackend, ConnectionOptions> | undefined;

export function openBackend(options: BackendOptions): Backend {
  return options.redisUrl === undefined ? openPostgres(options) : openRedis(options, options.redisUrl);
}

/** A job that is kept costs about 1.2 kB of memory, so there is a count. */
const KEEP_IN_REDIS: KeepJobs = { age: 300, count: 1_000 };
/** Without a count: for that BullMQ reads all completed jobs of the queue at the end of every job, a thousand rows each time. */
const KEEP_IN_POSTGRES: KeepJobs = { age: 60 };

function openRedis(options: BackendOptions, url: string): Backend {
  const redis = new Redis(url, {
    connectionName: options.name,
    maxRetriesPerRequest: options.patience === 'wait' ? null : 0,
    enableOfflineQueue: options.patience === 'wait',
    retryStrategy: (times) => Math.min(times * 100, 2_000),
    reconnectOnError: (error) => error.message.startsWith('READONLY'),
  });
  redis.on('error', onError(options, 'redis_error'));
  // Each worker has a copy to block on. BullMQ may still be reconnecting one when it says that the worker is closed.
  const copies: Redis[] = [];
  const duplicate = redis.duplicate.bind(redis);
  redis.duplicate = (overrides) => {
    const copy = duplicate(overrides);
    copies.push(copy);
    return copy;
  };
  let server: string | undefined;
  let onOther: () => void = () => undefined;
  let lookedAt = '';
  redis.on('ready', () => {
    redis.info('server').then(
      (info) => {
        const now = runIdIn(info);
        if (server !== undefined && now !== server) onOther();
        server = now;
      },
      // The connection broke again: the next one asks anew.
      () => undefined,
    );
  });
  const { prefix } = options;
  let renewing: Promise<unknown> | undefined;
  return {
    ...classes(options, redis, undefined),
    kind: 'redis',
    keepCompleted: KEEP_IN_REDIS,
    added: async () => undefined,
    ping: async () => redis.status === 'ready' && (await redis.ping()) === 'PONG',
    async isMarked() {
      lookedAt = runIdIn(await redis.info('server'));
      return (await redis.get(`${prefix}:orchestrator:mark`)) === lookedAt;
    },
    // Of the server that was looked at: one that took its place since has to be looked at too.
    mark: async () => void (await redis.set(`${prefix}:orchestrator:mark`, lookedAt)),
    async forgetScripts() {
      // A script that was refused inside a transaction, because Redis was full, counts as sent on that connection for
      // as long as it lasts.
      renewing ??= Promise.race([once(redis, 'ready'), sleep(RENEWAL_MS)]).finally(() => {
        renewing = undefined;
      });
      if (redis.status === 'ready') redis.disconnect(true);
      await renewing.catch(() => undefined);
    },
    async memoryUse() {
      if (redis.status !== 'ready') return undefined;
      const memory = await redis.info('memory');
      const number = (field: string) => Number(new RegExp(`^${field}:(\\d+)`, 'm').exec(memory)?.[1] ?? 0);
      const limit = number('maxmemory');
      return limit === 0 ? undefined : number('used_memory') / limit;
    },
    async waitingAnew(names, timeoutMs) {
      const fresh = new Redis(url, {
        connectionName: `${options.name}${LOOK_SUFFIX}`,
        retryStrategy: () => null,
        maxRetriesPerRequest: null,
        connectTimeout: timeoutMs,
      });
      fresh.on('error', () => undefined);
      try {
        return await countWaiting(names, { connection: fresh, prefix }, undefined, timeoutMs);
      } finally {
        fresh.disconnect();
      }
    },
    reconnect() {
      for (const connection of [...copies, redis]) connection.disconnect(true);
    },
    onOtherServer(listener) {
      onOther = listener;
    },
    async warnings() {
      if (redis.status !== 'ready') await once(redis, 'ready');
      const policy = /maxmemory_policy:(\S+)/.exec(await redis.info('memory'))?.[1];
      const persistence = await redis.info('persistence');
      const appendOnly = /aof_enabled:(\d)/.exec(persistence)?.[1];
      const save = await redis.config('GET', 'save').catch(() => undefined);
      const found: string[] = [];
      if (policy !== undefined && policy !== 'noeviction') {
        found.push(`Redis may evict jobs: maxmemory-policy is ${policy}, set it to noeviction`);
      }
      if (appendOnly === '0') {
        const snapshots = Array.isArray(save) && save[1] !== '';
        found.push(
          snapshots
            ? 'Redis keeps snapshots only: set appendonly yes, or the last minutes are rebuilt from PostgreSQL after a crash'
            : 'Redis persistence is off: set appendonly yes, or all queued work is rebuilt from PostgreSQL after a restart',
        );
      }
      return found;
    },
    async close() {
      for (const connection of [...copies, redis]) connection.disconnect();
    },
  };
}

/** New at every start of a server. */
function runIdIn(info: string): string {
  return /^run_id:(\S+)/m.exec(info)?.[1] ?? 'unknown';
}

function openPostgres(options: BackendOptions): Backend {
  const pool = new pg.Pool({
    connectionString: options.databaseUrl,
    application_name: `${options.name}-queue`,
    // BullMQ's own schema; its statements name no schema. A process that is stopped in a transaction lets go of its locks.
    options: '-c search_path=bullmq -c idle_in_transaction_session_timeout=10000',
    max: options.workers + 8,
    keepAlive: true,
    connectionTimeoutMillis: options.patience === 'wait' ? 10_000 : 2_000,
  });
  // Every queue and worker listens for its errors.
  pool.setMaxListeners(0);
  const onPoolError = onError(options, 'queue_database_error');
  pool.on('error', onPoolError);
  // The pool listens to idle connections only; one in a transaction must not end the process either.
  pool.on('connect', (client) => client.on('error', onPoolError));
  const clients = new Set<pg.PoolClient>();
  pool.on('connect', (client) => clients.add(client));
  pool.on('remove', (client) => clients.delete(client));
  const factory = createPostgresBackend as unknown as Factory;
  return {
    ...classes(options, pool as unknown as ConnectionOptions, factory),
    kind: 'postgres',
    keepCompleted: KEEP_IN_POSTGRES,
    added: createStatistics(pool, onPoolError),
    ping: async () => (await pool.query('SELECT 1')).rowCount === 1,
    // It is as durable as the truth itself.
    isMarked: async () => true,
    mark: async () => undefined,
    forgetScripts: async () => undefined,
    memoryUse: async () => undefined,
    async waitingAnew(names, timeoutMs) {
      const fresh = new pg.Pool({
        connectionString: options.databaseUrl,
        application_name: `${options.name}${LOOK_SUFFIX}`,
        options: '-c search_path=bullmq',
        max: 1,
        connectionTimeoutMillis: timeoutMs,
      });
      fresh.setMaxListeners(0);
      fresh.on('error', () => undefined);
      try {
        const connection = fresh as unknown as ConnectionOptions;
        return await countWaiting(names, { connection, prefix: options.prefix }, factory, timeoutMs);
      } finally {
        await fresh.end();
      }
    },
    reconnect() {
      // The client has no way to say that its connection is not to be waited for.
      for (const client of clients)
        (client as unknown as { connection: { stream: Socket } }).connection.stream.destroy();
    },
    // What PostgreSQL has confirmed it still has after a crash.
    onOtherServer: () => undefined,
    warnings: async () => [],
    close: () => pool.end(),
  };
}

function classes(
  options: BackendOptions,
  connection: ConnectionOptions,
  factory: Factory,
): Pick<Backend, 'queue' | 'worker' | 'flows'> {
  const { prefix } = options;
  return {
    queue(name) {
      const queue: LaneQueue = new Queue(
        name,
        { connection, prefix, streams: { events: { maxLen: KEPT_EVENTS } } },
        factory as BackendFactory<RedisQueueBackend, ConnectionOptions>,
      );
      queue.on('error', onError(options, 'queue_error'));
      return queue;
    },
    worker(name, processor, workerOptions) {
      const all = { ...workerOptions, connection, prefix };
      const worker: LaneWorker = new Worker(
        name,
        processor,
        all,
        factory as BackendFactory<RedisQueueBackend, ConnectionOptions>,
      );
      worker.on('error', onError(options, 'worker_error'));
      return worker;
    },
    flows() {
      const flows = new FlowProducer(
        { connection, prefix },
        factory as BackendFactory<RedisQueueBackend, ConnectionOptions>,
      );
      flows.on('error', onError(options, 'flow_error'));
      return flows;
    },
  };
}

async function countWaiting(
  names: readonly string[],
  place: { connection: ConnectionOptions; prefix: string },
  factory: Factory,
  timeoutMs: number,
): Promise<Map<string, number>> {
  const queues = names.map((name) => {
    const queue: LaneQueue = new Queue(
      name,
      { ...place, skipMetasUpdate: true },
      factory as BackendFactory<RedisQueueBackend, ConnectionOptions>,
    );
    queue.on('error', () => undefined);
    return queue;
  });
  const count = async (queue: LaneQueue) => {
    const [counts, isPaused] = await Promise.all([queue.getJobCounts('waiting', 'prioritized'), queue.isPaused()]);
    return [queue.name, isPaused ? 0 : (counts['waiting'] ?? 0) + (counts['prioritized'] ?? 0)] as const;
  };
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error(`the queue did not answer within ${timeoutMs} ms`)), timeoutMs);
  });
  const counted = Promise.all(queues.map(count));
  counted.catch(() => undefined); // When the time is up first.
  try {
    return new Map(await Promise.race([counted, late]));
  } finally {
    clearTimeout(timer);
    for (const queue of queues) queue.close().catch(() => undefined);
  }
}

/** The same fault over and over (a store that is away) is said once in a while. */
const REPEAT_AFTER_MS = 10_000;

function onError({ log, name }: BackendOptions, event: string): (error: Error) => void {
  let last = '';
  let at = 0;
  return (error) => {
    const now = performance.now();
    if (error.message === last && now - at < REPEAT_AFTER_MS) return;
    last = error.message;
    at = now;
    log.warn(event, { connection: name, error: error.message });
  };
}
