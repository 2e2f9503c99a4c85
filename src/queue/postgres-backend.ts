/** BullMQ on PostgreSQL, in a schema of its own. */
import type { Socket } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { type ConnectionOptions, createPostgresBackend, type KeepJobs } from 'bullmq';
import pg from 'pg';
import { GrowingPool } from '../postgres/growing-pool.ts';
import { retryDeadlocks } from '../postgres/retry-deadlocks.ts';
import type { Backend, BackendOptions, Shard } from './backend.ts';
import { classes, countWaiting, type Factory, onError, PROBE_SUFFIX } from './bullmq-classes.ts';
import { type ListeningConnection, type SharedListener, shareListener } from './shared-listener.ts';
import { createStatistics } from './statistics.ts';

/** Without a count: for that BullMQ reads all completed jobs of the queue at the end of every job, a thousand rows each time. */
const KEEP_IN_POSTGRES: KeepJobs = { age: 60 };

/** Of a process, for its queue. Its work waits in PostgreSQL anyway, and a server has a hundred for everybody by default. */
const MAX_CONNECTIONS = 10;

/** Before a worker that found no tables of the queue checks for them again. */
const REST_MS = 1_000;

export function openPostgres(options: BackendOptions): Backend {
  const pool = new GrowingPool({
    connectionString: options.databaseUrl,
    application_name: `${options.name}-queue`,
    // BullMQ's own schema; its statements name no schema. Its functions query one queue at a time, so each
    // connection plans it once (decision 69). A process that is stopped in a transaction releases its locks.
    options: '-c search_path=bullmq -c plan_cache_mode=force_generic_plan -c idle_in_transaction_session_timeout=10000',
    // One of them listens; the others are taken for a statement each.
    max: MAX_CONNECTIONS,
    keepAlive: true,
    connectionTimeoutMillis: options.offlineCommands === 'wait' ? 10_000 : 2_000,
  });
  retryDeadlocks(pool);
  // Every queue and worker listens for its errors.
  pool.setMaxListeners(0);
  const onPoolError = onError(options, 'queue_database_error');
  pool.on('error', onPoolError);
  // The pool listens to idle connections only; one in a transaction must not end the process either.
  pool.on('connect', (client) => client.on('error', onPoolError));
  const clients = new Set<pg.PoolClient>();
  pool.on('connect', (client) => clients.add(client));
  pool.on('remove', (client) => clients.delete(client));
  const listener = shareListener(pool);
  const factory = adapted(listener, options.offlineCommands === 'wait' ? REST_MS : 0);
  const only: Shard = {
    ...classes(options, pool as unknown as ConnectionOptions, factory),
    // It is as durable as the truth itself.
    isMarked: async () => true,
    mark: async () => undefined,
    async lockLeftMs(queue, jobId) {
      const { rows } = await pool.query<{ until: string | null }>(
        'SELECT locked_until_ms AS until FROM job WHERE queue = $1 AND id = $2',
        [queue, jobId],
      );
      // A bigint comes as text. By the clock of the workers, as BullMQ writes it.
      const left = Number(rows[0]?.until ?? 0) - Date.now();
      return left > 0 ? left : null;
    },
  };
  return {
    ...only,
    kind: 'postgres',
    shards: [only],
    keepCompleted: KEEP_IN_POSTGRES,
    added: createStatistics(pool, onPoolError),
    ping: async () => (await pool.query('SELECT 1')).rowCount === 1,
    isListening: listener.isListening,
    // One queue has the limiter of BullMQ.
    takeStart: async () => 0,
    forgetScripts: async () => undefined,
    memoryUse: async () => undefined,
    // It says so of the truth itself, which is probed first.
    rejectsWrites: async () => undefined,
    async probeWaiting(lanes, timeoutMs) {
      const fresh = new pg.Pool({
        connectionString: options.databaseUrl,
        application_name: `${options.name}${PROBE_SUFFIX}`,
        options: '-c search_path=bullmq',
        max: 1,
        connectionTimeoutMillis: timeoutMs,
      });
      fresh.setMaxListeners(0);
      fresh.on('error', () => undefined);
      try {
        const connection = fresh as unknown as ConnectionOptions;
        const at = lanes.map((lane) => ({ lane, queue: lane, prefix: options.prefix }));
        return await countWaiting(at, connection, factory, timeoutMs);
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
    // There everything that waits has a limit of its own, but outcomes: a process tries to commit them as long as it lives.
    abandon: () => undefined,
    async close() {
      await listener.close();
      await pool.end();
    },
  };
}

/** What BullMQ's backend and its connection cache of their first check, which their types do not say. */
interface Memo {
  waitUntilReady(): Promise<unknown>;
  readyPromise?: Promise<unknown> | undefined;
}

/**
 * BullMQ checks once whether its tables are there and remembers a failure for ever: a process that was started before the
 * migration, or while the server was away, would never work. Its workers would even repeat what fails without a pause, in
 * microtasks alone, so that the process did nothing else and not even ended on SIGTERM. Here a failure is handed out after a
 * rest, and the next caller checks again.
 */
function adapted(listener: SharedListener, restMs: number): Factory {
  const create: typeof createPostgresBackend = (...args) => {
    const backend = createPostgresBackend(...args);
    const { connection } = backend as unknown as { connection: Memo & ListeningConnection };
    forgetting(connection, restMs);
    forgetting(backend as unknown as Memo, 0);
    listener.serve(connection);
    return backend;
  };
  return create as unknown as Factory;
}

function forgetting(memo: Memo, restMs: number): void {
  const first = memo.waitUntilReady.bind(memo);
  memo.waitUntilReady = async () => {
    try {
      return await first();
    } catch (error) {
      memo.readyPromise = undefined;
      await sleep(restMs, undefined, { ref: false });
      throw error;
    }
  };
}
