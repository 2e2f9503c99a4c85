/** The whole service in this process: a database of its own, queues of its own, an API and workers on free ports. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { type Cluster, Redis } from 'ioredis';
import pg from 'pg';
import { composeApi, composeWorker, type Process } from '../../src/compose/processes.ts';
import { loadConfig } from '../../src/config/config.ts';
import type { Feature } from '../../src/feature.ts';
import { type Client, openClient } from '../harness/client/client.ts';
import type { Environment } from '../harness/processes/process.ts';
import type { BackendKind } from '../harness/servers/backends.ts';
import type { RedisGroup } from '../harness/servers/redis-group.ts';
import { createTestLog, type TestLog } from '../harness/test-log.ts';
import { until } from '../harness/until.ts';
import { createTestDatabase, type TestDatabase, testQueuePrefix, testRedisUrl } from './servers.ts';

/** TEST_REDIS_SHARDS=3: the suites run with so many shards of the queue, where it is in Redis. */
const SHARDS = process.env['TEST_REDIS_SHARDS'] || undefined;

/** A database and a queue, and how processes are told about them. */
export interface Place {
  backend: BackendKind;
  environment: Environment;
  /** An empty folder, so that no .env of the checkout is read. */
  folder: string;
  db: pg.Pool;
  databaseUrl: string;
  redis: Redis | undefined;
  /** What the check of the queue reads: `redis`, or the servers that were given. */
  queueStore: Redis | Cluster | undefined;
  redisUrl: string | undefined;
  queuePrefix: string;
  queueShards: number;
  reported: Set<string>;
  /** Fails when a process has left connections open. */
  close(): Promise<void>;
}

export interface Stack extends Place {
  api: Client;
  log: TestLog;
  /** Another API or worker beside the others; it is stopped with the stack if not before. */
  add(kind: 'api' | 'worker', environment?: Environment): Promise<{ port: number; stop(): Promise<void> }>;
  stop(): Promise<void>;
}

export interface PlaceOptions {
  /** Instead of the shared ones. */
  redisUrl?: string;
  /** Several servers instead of one. */
  redisGroup?: RedisGroup;
  /** Instead of a copy of the template on the shared server: migrated, and nobody else's. */
  database?: () => Promise<TestDatabase>;
  databaseUrl?: (real: string) => string;
  environment?: Environment;
}

export async function openPlace(backend: BackendKind, options: PlaceOptions = {}): Promise<Place> {
  const database = await (options.database ?? createTestDatabase)();
  const { redisGroup: group } = options;
  const shared =
    backend === 'redis' && options.redisUrl === undefined && group === undefined ? await ownRedisDatabase() : undefined;
  const redisUrl = backend === 'redis' ? (options.redisUrl ?? shared?.url) : undefined;
  const queuePrefix = testQueuePrefix();
  const folder = mkdtempSync(path.join(tmpdir(), 'test-place-'));
  const db = new pg.Pool({
    connectionString: database.url,
    application_name: 'test',
    max: 4,
    // The rules compare whole tables, of which the planner knows nothing when a test has only just filled them.
    options: '-c enable_nestloop=off',
  });
  db.on('error', () => undefined);
  const redis = redisUrl === undefined ? undefined : new Redis(redisUrl, { connectionName: 'test' });
  redis?.on('error', () => undefined);
  const databaseUrl = options.databaseUrl?.(database.url) ?? database.url;
  const environment: Environment = {
    NODE_ENV: 'test',
    PORT: '0',
    WORKER_PORT: '0',
    LOG_FILE: 'none',
    DATABASE_URL: databaseUrl,
    QUEUE_PREFIX: queuePrefix,
    ...(backend === 'redis' && SHARDS !== undefined ? { REDIS_SHARDS: SHARDS } : {}),
    ...(redisUrl === undefined ? {} : { REDIS_URL: redisUrl }),
    ...group?.environment,
    ...options.environment,
  };
  return {
    backend,
    folder,
    db,
    databaseUrl: database.url,
    redis,
    queueStore: redis ?? group?.client,
    redisUrl,
    queuePrefix,
    queueShards: Number(environment['REDIS_SHARDS'] ?? 1),
    reported: new Set(),
    environment,
    async close() {
      try {
        await expectNoConnections(db, redis);
        await shared?.giveBack();
      } finally {
        redis?.disconnect();
        await db.end();
        await database.drop();
        rmSync(folder, { recursive: true, force: true });
      }
    },
  };
}

/** Of a Redis as it comes, without the first one, where it is written who has which. */
const REDIS_DATABASES = 15;
/** A place whose end failed does not give its own back: nobody has it until then. */
const HELD_SECONDS = 900;

interface RedisDatabase {
  url: string;
  giveBack(): Promise<void>;
}

/** Places that exist side by side use different databases of the shared Redis, so that connections can be told apart. */
async function ownRedisDatabase(): Promise<RedisDatabase> {
  const url = new URL(testRedisUrl());
  const asked = async <T>(ask: (redis: Redis) => Promise<T>): Promise<T> => {
    const redis = new Redis(testRedisUrl(), { connectionName: 'test' });
    return ask(redis).finally(() => redis.disconnect());
  };
  const holder = (number: number) => `test-place:${number}`;
  const taken = (redis: Redis, number: number) => redis.set(holder(number), '', 'EX', HELD_SECONDS, 'NX');
  const number = await asked((redis) =>
    until(
      async () => {
        for (let one = 1; one <= REDIS_DATABASES; one += 1) if ((await taken(redis, one)) !== null) return one;
        return undefined;
      },
      { what: 'a database of the shared Redis is free' },
    ),
  );
  url.pathname = `/${number}`;
  return { url: url.href, giveBack: () => asked(async (redis) => void (await redis.del(holder(number)))) };
}

async function expectNoConnections(db: pg.Pool, redis: Redis | undefined): Promise<void> {
  const left = async () => {
    const { rows } = await db.query<{ application_name: string }>(
      `SELECT application_name FROM pg_stat_activity WHERE datname = current_database() AND application_name LIKE 'orchestrator%'`,
    );
    if (redis === undefined || redis.status !== 'ready') return rows.map((row) => row.application_name);
    const own = (await redis.client('INFO')) as string; // One line of text.
    const number = /\bdb=(\d+)/.exec(own)?.[1];
    const clients = ((await redis.client('LIST')) as string).split('\n'); // One line per client.
    const others = clients.filter((line) => line.includes(` db=${number} `) && !line.includes(' name=test '));
    return [...rows.map((row) => row.application_name), ...others];
  };
  await until(async () => (await left()).length === 0, { what: 'no connection is left open' }).catch(
    async (error: unknown) => {
      throw new Error(`connections were left open: ${(await left()).join('; ')}`, { cause: error });
    },
  );
}

/** With TEST_REDIS_SHARDS a lane has a slot for each shard at least, also where a test has it execute one task at a time. */
function withSlots(environment: Environment): Environment {
  const { REDIS_SHARDS: shards, WORKER_CONCURRENCY: slots } = environment;
  const tooFew = SHARDS !== undefined && shards !== undefined && Number(slots) < Number(shards);
  return tooFew ? { ...environment, WORKER_CONCURRENCY: shards } : environment;
}

/** Not started yet. */
export function composeAt(
  { environment, folder }: Pick<Place, 'environment' | 'folder'>,
  kind: 'api' | 'worker',
  settingsOfOne: Environment,
  log: TestLog,
  features?: readonly Feature[],
): Promise<Process> {
  const config = loadConfig(withSlots({ ...environment, ...settingsOfOne }), { cwd: folder });
  return kind === 'api' ? composeApi(config, log, features) : composeWorker(config, log, features);
}

export interface StackOptions extends PlaceOptions {
  /** Instead of a new one. */
  log?: TestLog;
  workers?: number;
  worker?: Environment;
  /** Instead of those that are delivered. */
  features?: readonly Feature[];
}

export async function openStack(backend: BackendKind, options: StackOptions = {}): Promise<Stack> {
  const place = await openPlace(backend, options);
  const log = options.log ?? createTestLog();
  const running = new Set<Process>();
  const add: Stack['add'] = async (kind, environment = {}) => {
    const process = await composeAt(place, kind, environment, log, options.features);
    running.add(process);
    const { port } = await process.start();
    return {
      port,
      async stop() {
        if (running.delete(process)) await process.stop();
      },
    };
  };
  const stopAll = async () => {
    await Promise.all([...running].map((process) => process.stop()));
    running.clear();
  };
  try {
    const { port } = await add('api');
    for (let count = options.workers ?? 1; count > 0; count -= 1) await add('worker', options.worker);
    return {
      ...place,
      api: openClient(`http://127.0.0.1:${port}`),
      log,
      add,
      async stop() {
        try {
          await stopAll();
        } finally {
          await place.close();
        }
      },
    };
  } catch (error) {
    await stopAll();
    await place.close();
    throw error;
  }
}
