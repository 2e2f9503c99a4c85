/**
 * All that one scenario runs on: servers of its own, an API and workers as supervised processes, each reaching its stores
 * through doors of its own, and the service outside.
 */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { Redis } from 'ioredis';
import pg from 'pg';
import { freePort } from '../../../src/launch/postgres-server.ts';
import type { Disturbance } from '../checker/calls.ts';
import { HURRIED } from '../processes.ts';
import type { BackendKind, Environment } from '../stack.ts';
import { startTcpProxy, type TcpProxy, through } from '../tcp-proxy.ts';
import { openPostgres, openRedis, type RedisOfScenario, type StoreServer } from './store-servers.ts';
import { type Supervised, supervise } from './supervised.ts';
import { openTestService, type TestService } from './test-service.ts';

export interface ProcessOfStation {
  process: Supervised;
  /** To PostgreSQL, and to Redis where there is one. */
  proxies: TcpProxy[];
}

export interface Station {
  backend: BackendKind;
  apiUrl: string;
  api: ProcessOfStation;
  workers: ProcessOfStation[];
  postgres: StoreServer;
  redis: RedisOfScenario | undefined;
  /** Straight to the stores, past every door. */
  db: pg.Pool;
  redisClient: Redis | undefined;
  queuePrefix: string;
  service: TestService;
  proxies(): TcpProxy[];
  /** Locks that the processes said were lost. */
  stalls: Disturbance[];
  /** How often the processes have told of this event. */
  counted(event: string): number;
  /** The last lines of all logs. */
  tail(): string;
  close(): Promise<void>;
}

export interface StationOptions {
  backend: BackendKind;
  workers: number;
  environment?: Environment;
  /** The folder that holds the dist/ to run; this checkout when left out. */
  root?: string;
}

const SETTINGS = {
  ...HURRIED,
  NODE_ENV: 'test',
  WORKER_PORT: '0',
  LOG_FILE: 'none',
  WORKER_CONCURRENCY: '10',
  SHUTDOWN_GRACE_SECONDS: '1',
  RETRY_BACKOFF_BASE: '1',
};
const KEPT_LINES = 400;
const QUEUE_PREFIX = '{faults}';

export async function openStation({ backend, workers, environment, root }: StationOptions): Promise<Station> {
  const closing: Array<() => Promise<unknown>> = [];
  const close = async () => {
    const faults: unknown[] = [];
    for (const step of closing.reverse()) await step().catch((error: unknown) => faults.push(error));
    closing.length = 0;
    if (faults.length > 0) throw faults[0];
  };
  try {
    const [opened, redis] = await Promise.allSettled([openPostgres(), backend === 'redis' ? openRedis() : undefined]);
    if (opened.status === 'fulfilled') closing.push(() => opened.value.close());
    if (redis.status === 'fulfilled' && redis.value !== undefined) {
      const server = redis.value;
      closing.push(() => server.close());
    }
    if (opened.status === 'rejected') throw opened.reason;
    if (redis.status === 'rejected') throw redis.reason;
    const postgres = opened.value;

    const service = await openTestService();
    closing.push(() => service.close());
    const folder = await mkdtemp(path.join(tmpdir(), 'fault-station-'));
    closing.push(() => rm(folder, { recursive: true, force: true }));
    const db = new pg.Pool({
      connectionString: postgres.url,
      application_name: 'test',
      max: 4,
      connectionTimeoutMillis: 5_000,
      // The rules compare whole tables, of which the planner knows nothing yet.
      options: '-c enable_nestloop=off',
    });
    db.on('error', () => undefined);
    db.on('connect', (client) => client.on('error', () => undefined));
    closing.push(() => db.end());
    const redisClient = redis.value === undefined ? undefined : new Redis(redis.value.url, { connectionName: 'test' });
    redisClient?.on('error', () => undefined);
    closing.push(async () => redisClient?.disconnect());

    const lines: string[] = [];
    const stalls: Disturbance[] = [];
    const counts = new Map<string, number>();
    const onLine = (line: string) => {
      const event = /"event":"([^"]+)"/.exec(line)?.[1] ?? '';
      counts.set(event, (counts.get(event) ?? 0) + 1);
      lines.push(`${new Date().toISOString().slice(11, 23)} ${line}`);
      if (lines.length > KEPT_LINES) lines.shift();
      const stalled = /"event":"job_stalled".*"job_id":"([^"]+)"|"job_id":"([^"]+)".*"event":"job_stalled"/.exec(line);
      const id = stalled?.[1] ?? stalled?.[2];
      if (id === undefined) return;
      const now = Date.now();
      const key = decodeURIComponent(id);
      stalls.push({ what: 'a lost lock', from: now, to: now, repeatsWork: true, holdsWork: false, key });
    };

    const port = await freePort();
    const start = async (kind: 'api' | 'worker'): Promise<ProcessOfStation> => {
      const urls = [postgres.url, ...(redis.value === undefined ? [] : [redis.value.url])];
      const proxies: TcpProxy[] = [];
      for (const url of urls) {
        const { hostname, port: target } = new URL(url);
        const proxy = await startTcpProxy({ host: hostname, port: Number(target) });
        closing.push(() => proxy.close());
        proxies.push(proxy);
      }
      const [toPostgres, toRedis] = proxies;
      const settings: Environment = {
        ...SETTINGS,
        PORT: String(port),
        QUEUE_PREFIX,
        ...(toPostgres === undefined ? {} : { DATABASE_URL: through(toPostgres, postgres.url) }),
        ...(toRedis === undefined || redis.value === undefined ? {} : { REDIS_URL: through(toRedis, redis.value.url) }),
        ...environment,
      };
      const process = supervise({ kind, cwd: folder, settings, onLine, ...(root === undefined ? {} : { root }) });
      closing.push(() => process.stop());
      return { process, proxies };
    };
    const api = await start('api');
    const started: ProcessOfStation[] = [];
    for (let n = 0; n < workers; n += 1) started.push(await start('worker'));
    await Promise.all([api, ...started].map(({ process }) => process.child()));

    return {
      backend,
      apiUrl: `http://127.0.0.1:${port}`,
      api,
      workers: started,
      postgres,
      redis: redis.value,
      db,
      redisClient,
      queuePrefix: QUEUE_PREFIX,
      service,
      stalls,
      proxies: () => [api, ...started].flatMap(({ proxies }) => proxies),
      counted: (event) => counts.get(event) ?? 0,
      tail: () => lines.slice(-120).join('\n'),
      async close() {
        const ends = await Promise.all([api, ...started].map(({ process }) => process.stop()));
        await close();
        if (ends.includes('killed'))
          throw new Error(`a process did not end after SIGTERM:\n${lines.slice(-20).join('\n')}`);
      },
    };
  } catch (error) {
    await close().catch(() => undefined);
    throw error;
  }
}
