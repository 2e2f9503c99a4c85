/** A service of the drill's own, with everything it needs, whose parts can be killed and started again. */
import { closeSync, mkdtempSync, openSync, readdirSync, rmSync, statSync, truncateSync } from 'node:fs';
import { chmod } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { Redis } from 'ioredis';
import pg from 'pg';
import { launchPart, type Part, runMigrate } from '../bench/part.ts';
import { freePort, startPostgres } from '../src/launch/postgres-server.ts';
import { type RedisServer, startRedis } from '../test/support/redis-server.ts';
import type { Options } from './options.ts';

export interface Stack {
  backend: Options['backend'];
  /** Where the API is, whichever process is behind it. */
  url: string;
  db: pg.Pool;
  redis: Redis | undefined;
  queuePrefix: string;
  workers: Part[];
  /** A worker is not heard of for this long before its tasks go to others. */
  lockMs: number;
  startWorker(): Promise<void>;
  restartApi(): Promise<void>;
  restartPostgres(): Promise<void>;
  /** Kills Redis; what it wrote last is gone when it is back. */
  loseTailOfRedis(): Promise<void>;
  /** What the processes have logged. */
  logFile: string;
  stop(): Promise<void>;
}

const QUEUE_PREFIX = '{drill}';
const HURRIED = { LOCK_DURATION_MS: '1500', STALLED_INTERVAL_MS: '500', RECONCILE_SECONDS: '1' };
/** The defaults, and what it takes until a lock that has run out is noticed. */
const LOCK_MS = { production: 20_000, hurried: 2_000 };
const WORKERS = 2;
/** Few enough that work waits, many enough that a worker never dies idle. */
const CONCURRENCY = '10';
const STOP_MS = 15_000;
const KEPT_OF_TAIL = 0.9;

export async function startStack(options: Options, say: (line: string) => void): Promise<Stack> {
  const folder = mkdtempSync(path.join(tmpdir(), 'drill-'));
  await chmod(folder, 0o755); // PostgreSQL may run as another user.
  const logFile = path.join(folder, 'processes.log');
  const log = openSync(logFile, 'a');
  const stops: Array<() => Promise<unknown>> = [];
  let stopped: Promise<void> | undefined;
  const stopAll = async () => {
    for (const end of stops.splice(0).reverse()) await end().catch((error: unknown) => say(`while stopping: ${error}`));
    closeSync(log);
  };
  const stop = () => {
    stopped ??= stopAll();
    return stopped;
  };
  try {
    const clean = () => rmSync(folder, { recursive: true, force: true });
    stops.push(async () => clean());
    let redisServer = options.backend === 'redis' ? await redisIfAny(say) : undefined;
    stops.push(async () => redisServer?.stop());
    const backend = redisServer === undefined ? 'postgres' : 'redis';
    const database = { folder: path.join(folder, 'postgres'), say: () => undefined };
    let postgres = await startPostgres(database);
    stops.push(async () => {
      await postgres.stop();
      rmSync(postgres.directory, { recursive: true, force: true });
    });

    const environment: Record<string, string> = {
      PATH: process.env['PATH'] ?? '',
      DATABASE_URL: postgres.url,
      ...(redisServer === undefined ? {} : { REDIS_URL: redisServer.url }),
      QUEUE_PREFIX,
      PORT: String(await freePort()),
      WORKER_PORT: '0',
      WORKER_CONCURRENCY: CONCURRENCY,
      SHUTDOWN_GRACE_SECONDS: '2',
      LOG_FILE: 'none',
      ...(options.hurried ? HURRIED : {}),
    };
    await runMigrate(folder, environment);

    const db = new pg.Pool({ connectionString: postgres.url, application_name: 'drill', max: 3 });
    db.on('error', () => undefined);
    stops.push(() => db.end());
    const redis = redisServer === undefined ? undefined : new Redis(redisServer.url, { maxRetriesPerRequest: null });
    redis?.on('error', () => undefined);
    stops.push(async () => redis?.disconnect());

    const parts = new Set<Part>();
    const launch = async (name: 'api' | 'worker') => {
      const part = await launchPart({ name, folder, environment, output: log });
      parts.add(part);
      return part;
    };
    stops.push(() => Promise.all([...parts].map(endPart)));
    let api = await launch('api');
    const stack: Stack = {
      backend,
      url: `http://127.0.0.1:${api.port}`,
      db,
      redis,
      queuePrefix: QUEUE_PREFIX,
      workers: [],
      lockMs: options.hurried ? LOCK_MS.hurried : LOCK_MS.production,
      logFile,
      stop,
      async startWorker() {
        const worker = await launch('worker');
        stack.workers = [...stack.workers.filter((known) => known.isAlive()), worker];
      },
      async restartApi() {
        api.signal('SIGKILL');
        await api.ended;
        api = await launch('api');
      },
      async restartPostgres() {
        // As after a crash: nothing is written any more, what was committed comes back from the log.
        process.kill(postgres.pid, 'SIGQUIT');
        await postgres.died;
        postgres = await startPostgres(database);
      },
      async loseTailOfRedis() {
        if (redisServer === undefined) throw new Error('the queue is not in Redis');
        const known: RedisServer = redisServer;
        await known.stop('SIGKILL');
        const logs = path.join(known.folder, 'appendonlydir');
        for (const name of readdirSync(logs).filter((file) => file.endsWith('.incr.aof'))) {
          const file = path.join(logs, name);
          truncateSync(file, Math.floor(statSync(file).size * KEPT_OF_TAIL));
        }
        redisServer = await startRedis({ appendOnly: true, folder: known.folder, port: known.port });
      },
    };
    for (let count = 0; count < WORKERS; count += 1) await stack.startWorker();
    return stack;
  } catch (error) {
    await stop();
    throw error;
  }
}

async function redisIfAny(say: (line: string) => void): Promise<RedisServer | undefined> {
  try {
    return await startRedis({ appendOnly: true });
  } catch (error) {
    say(
      `No Redis can be started here (${error instanceof Error ? error.message : error}); the queue is in PostgreSQL.`,
    );
    return undefined;
  }
}

/** Asks it to end, and does not wait for ever. */
async function endPart(part: Part): Promise<void> {
  part.signal('SIGCONT');
  const late = sleep(STOP_MS, undefined, { ref: false }).then(() => part.signal('SIGKILL'));
  await Promise.race([part.stop(), late]);
  await (part.isAlive() ? part.ended : undefined);
}
