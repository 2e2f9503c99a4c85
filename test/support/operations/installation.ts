/**
 * What an operator runs, for one scenario alone: a PostgreSQL whose tables belong to another role than the one the API uses,
 * a Redis with an append-only file, an API and workers as processes of the built program. Nothing is started again by itself.
 */
import { chmod, mkdir, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import type { Redis } from 'ioredis';
import type pg from 'pg';
import { freePort, type PostgresServer, startPostgres } from '../../../src/launch/postgres-server.ts';
import { migrateQueue } from '../../../src/queue/migrate-queue.ts';
import { migrate } from '../../../src/store/migrations/migrate.ts';
import type { Disturbance } from '../../harness/checker/calls.ts';
import { type Closing, createClosing } from '../../harness/closing.ts';
import { type Child, type Environment, endOrKill, startProcess } from '../../harness/processes/process.ts';
import type { BackendKind } from '../../harness/servers/backends.ts';
import { openPool, openRedisClient } from '../../harness/servers/connections.ts';
import { startRedis } from '../../harness/servers/redis-server.ts';
import { openTestService, type TestService } from '../../harness/services/test-service.ts';
import { mountSmallDisk, type SmallDisk } from '../small-disk.ts';
import { type MovableClock, openMovableClock } from './clock.ts';

export interface InstallationOptions {
  backend?: BackendKind;
  /** Megabytes of the disk of each that is to have a small one. */
  disks?: { postgres?: number; redis?: number };
  /** Of PostgreSQL, beside what it is started with otherwise. */
  settings?: Record<string, string>;
  /** The clock of PostgreSQL can be set. */
  clock?: boolean;
  environment?: Environment;
}

export interface Installation {
  backend: BackendKind;
  apiUrl: string;
  /** As the superuser: no privilege that is taken away, and no limit of a role, is one for it. */
  db: pg.Pool;
  /** Of the superuser. */
  databaseUrl: string;
  postgres: { disk: SmallDisk | undefined; clock: MovableClock | undefined; startAgainIfDown(): Promise<void> };
  redis: { client: Redis; url: string; disk: SmallDisk | undefined } | undefined;
  queuePrefix: string;
  service: TestService;
  children: readonly Child[];
  /** Locks that the processes said were lost: whose work is done again. */
  stalls: readonly Disturbance[];
  /** The last lines of all logs. */
  tail(lines?: number): string;
  close(): Promise<void>;
}

/** Owns the tables: workers cut history into partitions (docs/security.md). */
export const OWNER = 'operations_owner';
/** Of the API: owns nothing. */
export const PROGRAM = 'operations_program';
const PASSWORD = 'operations';
const QUEUE_PREFIX = '{operations}';
const WORKERS = 2;
const KEPT_LINES = 2_000;
const END_MS = 20_000;

/** How long it takes until the work of a worker that has lost its locks is given to another. */
export const REDELIVERED_MS = 10_000;

const SETTINGS = {
  // Shorter than in production, and long enough that a machine that is busy with other things loses none.
  LOCK_DURATION_MS: '5000',
  STALLED_INTERVAL_MS: '1500',
  RECONCILE_SECONDS: '1',
  NODE_ENV: 'test',
  WORKER_PORT: '0',
  LOG_FILE: 'none',
  WORKER_CONCURRENCY: '10',
  SHUTDOWN_GRACE_SECONDS: '1',
  RETRY_BACKOFF_BASE: '1',
  QUEUE_PREFIX,
};

export async function openInstallation(options: InstallationOptions = {}): Promise<Installation> {
  const { backend = 'redis' } = options;
  const closing = createClosing();
  try {
    const postgres = await openPostgres(options, closing);
    const redis = backend === 'redis' ? await openRedis(options, closing) : undefined;
    const service = await openTestService();
    closing.push(() => service.close());
    const folder = await makeFolder(closing);

    const lines: string[] = [];
    const stalls: Disturbance[] = [];
    const onLine = (line: string) => {
      const stalled = line.includes('"job_stalled"') ? /"job_id":"([^"]+)"/.exec(line)?.[1] : undefined;
      if (stalled !== undefined) stalls.push(lostLock(decodeURIComponent(stalled)));
      lines.push(`${new Date().toISOString().slice(11, 23)} ${line}`);
      if (lines.length > KEPT_LINES) lines.shift();
    };
    const port = await freePort();
    const children: Child[] = [];
    closing.push(() => endAll(children));
    const start = async (kind: Child['kind']) => {
      const settings = {
        ...SETTINGS,
        PORT: String(port),
        DATABASE_URL: postgres.urlOf(kind === 'api' ? PROGRAM : OWNER),
        ...(redis === undefined ? {} : { REDIS_URL: redis.url }),
        ...options.environment,
      };
      children.push(await startProcess({ kind, cwd: folder, settings, onLine }));
    };
    await start('api');
    for (let n = 0; n < WORKERS; n += 1) await start('worker');
    return {
      backend,
      apiUrl: `http://127.0.0.1:${port}`,
      db: postgres.db,
      databaseUrl: postgres.url,
      postgres,
      redis,
      queuePrefix: QUEUE_PREFIX,
      service,
      children,
      stalls,
      tail: (count = 150) => lines.slice(-count).join('\n'),
      close: closing.close,
    };
  } catch (error) {
    await closing.close().catch(() => undefined);
    throw error;
  }
}

function lostLock(key: string): Disturbance {
  const now = Date.now();
  return { what: 'a lost lock', from: now, to: now, repeatsWork: true, holdsWork: false, key };
}

async function makeFolder(closing: Closing): Promise<string> {
  const folder = await mkdtemp(path.join(tmpdir(), 'operations-'));
  await chmod(folder, 0o755); // A server may run as another user.
  closing.push(() => rm(folder, { recursive: true, force: true }));
  return folder;
}

async function makeDisk(megabytes: number | undefined, closing: Closing) {
  const folder = await makeFolder(closing);
  if (megabytes === undefined) return { folder, disk: undefined };
  const disk = mountSmallDisk(folder, megabytes);
  closing.push(() => disk.unmount());
  return { folder, disk };
}

async function openPostgres(options: InstallationOptions, closing: Closing) {
  const { folder, disk } = await makeDisk(options.disks?.postgres, closing);
  const clock = options.clock === true ? await openMovableClock(await makeFolder(closing)) : undefined;
  const start = () =>
    startPostgres({
      folder,
      fast: true,
      settings: { max_connections: '120', ...options.settings },
      ...(clock === undefined ? {} : { environment: clock.environment }),
      say: () => undefined,
    });
  let server: PostgresServer = await start();
  let isDown = false;
  const watch = (one: PostgresServer) => void one.died.then(() => (isDown = one === server));
  watch(server);
  closing.push(async () => {
    await server.stop();
    // The files may be elsewhere, where the server's user could not reach this folder.
    await rm(server.directory, { recursive: true, force: true });
  });
  const { url } = server;
  const urlOf = (role: string) => {
    const own = new URL(url);
    own.username = role;
    own.password = PASSWORD;
    return own.href;
  };
  // A table may be locked, and the server read-only.
  const db = openPool(url, '-c lock_timeout=1s -c default_transaction_read_only=off');
  closing.push(() => db.end());
  await db.query(`
    CREATE ROLE ${OWNER} LOGIN CREATEROLE PASSWORD '${PASSWORD}';
    CREATE ROLE ${PROGRAM} LOGIN PASSWORD '${PASSWORD}';
    ALTER DATABASE orchestrator OWNER TO ${OWNER}`);
  await migrate(urlOf(OWNER));
  await migrateQueue(urlOf(OWNER));
  await db.query(grants('public') + grants('bullmq'));
  await db.query(`GRANT orchestrator_tenant TO ${PROGRAM}, ${OWNER} WITH INHERIT FALSE, SET TRUE`);
  return {
    url,
    urlOf,
    db,
    disk,
    clock,
    /** As whoever looks after a server does: one that could not write its log has ended itself. */
    async startAgainIfDown() {
      if (!isDown) return;
      isDown = false;
      server = await start();
      watch(server);
      if (server.url !== url) throw new Error('PostgreSQL came back under another address');
    },
  };
}

/** As docs/security.md says. */
function grants(schema: string): string {
  return `
    GRANT USAGE ON SCHEMA ${schema} TO ${PROGRAM};
    GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA ${schema} TO ${PROGRAM};
    GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA ${schema} TO ${PROGRAM};
    GRANT USAGE ON ALL SEQUENCES IN SCHEMA ${schema} TO ${PROGRAM};`;
}

async function openRedis(options: InstallationOptions, closing: Closing) {
  const { folder: parent, disk } = await makeDisk(options.disks?.redis, closing);
  const folder = path.join(parent, 'redis');
  await mkdir(folder);
  // As the packaged service has it. With `always` a Redis that cannot write ends itself.
  const server = await startRedis({ appendOnly: 'everysec', folder });
  closing.push(() => server.stop());
  const client = openRedisClient(server.url);
  closing.push(() => client.disconnect());
  return { client, url: server.url, disk };
}

/** All are asked to end, and have to do so by themselves, and not before. */
async function endAll(children: readonly Child[]): Promise<void> {
  const ends = children.map(async (child) =>
    child.isAlive() && (await endOrKill(child, END_MS)) === 'ended' ? undefined : child,
  );
  const odd = (await Promise.all(ends)).filter((child) => child !== undefined);
  if (odd.length > 0)
    throw new Error(
      `did not end by themselves after SIGTERM: ${odd.map(({ kind, pid }) => `${kind} ${pid}`).join(', ')}`,
    );
}
