/**
 * A whole service to be broken: servers of its own, an API and workers as supervised processes, each reaching its stores
 * through doors of its own, and the service outside.
 */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import type { Redis } from 'ioredis';
import type pg from 'pg';
import { freePort } from '../../../src/launch/postgres-server.ts';
import type { Disturbance } from '../checker/calls.ts';
import { createClosing } from '../closing.ts';
import { type Environment, HURRIED } from '../processes/process.ts';
import { type Supervised, supervise } from '../processes/supervised.ts';
import type { BackendKind } from '../servers/backends.ts';
import { openPool, openRedisClient } from '../servers/connections.ts';
import { openPostgres, openRedis, type RestartableRedis, type StoreServer } from '../servers/store-servers.ts';
import { startTcpProxy, type TcpProxy, through } from '../servers/tcp-proxy.ts';
import { openTestService, type TestService } from '../services/test-service.ts';

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
  redis: RestartableRedis | undefined;
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
  /** The processes keep the settings of production, and reach their stores straight; PostgreSQL flushes every commit. */
  asDelivered?: boolean;
  /** The folder that holds the dist/ to run; this checkout when left out. */
  root?: string;
}

const SETTINGS = { WORKER_PORT: '0', LOG_FILE: 'none', WORKER_CONCURRENCY: '10' };
const IN_TESTS = { ...HURRIED, NODE_ENV: 'test', SHUTDOWN_GRACE_SECONDS: '1', RETRY_BACKOFF_BASE: '1' };
const KEPT_LINES = 400;
const QUEUE_PREFIX = '{faults}';

export async function openStation(options: StationOptions): Promise<Station> {
  const { backend, workers, environment, asDelivered = false, root } = options;
  const closing = createClosing();
  try {
    const [opened, redis] = await Promise.allSettled([
      openPostgres({ durable: asDelivered }),
      backend === 'redis' ? openRedis() : undefined,
    ]);
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
    const db = openPool(postgres.url);
    closing.push(() => db.end());
    const redisClient = redis.value === undefined ? undefined : openRedisClient(redis.value.url);
    closing.push(() => redisClient?.disconnect());

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
      for (const url of asDelivered ? [] : urls) {
        const { hostname, port: target } = new URL(url);
        const proxy = await startTcpProxy({ host: hostname, port: Number(target) });
        closing.push(() => proxy.close());
        proxies.push(proxy);
      }
      const [toPostgres, toRedis] = proxies;
      const settings: Environment = {
        ...SETTINGS,
        ...(asDelivered ? {} : IN_TESTS),
        PORT: String(port),
        QUEUE_PREFIX,
        DATABASE_URL: reached(postgres.url, toPostgres),
        ...(redis.value === undefined ? {} : { REDIS_URL: reached(redis.value.url, toRedis) }),
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
        await closing.close();
        if (ends.includes('killed'))
          throw new Error(`a process did not end after SIGTERM:\n${lines.slice(-20).join('\n')}`);
      },
    };
  } catch (error) {
    await closing.close().catch(() => undefined);
    throw error;
  }
}

function reached(url: string, proxy: TcpProxy | undefined): string {
  return proxy === undefined ? url : through(proxy, url);
}
