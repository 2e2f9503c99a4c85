/** A Redis and a PostgreSQL of the benchmark's own, both with the settings that keep what was written. */
import { spawn } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { Redis } from 'ioredis';
import pg from 'pg';
import { freePort, startPostgres } from '../src/launch/postgres-server.ts';

export interface Servers {
  redis: { url: string; pid: number };
  postgres: { url: string; pid: number };
  /** Of a role of its own, so that what the benchmark asks is not counted. */
  observer: pg.Pool;
  folder: string;
  stop(): Promise<void>;
}

const START_MS = 20_000;
const OBSERVER = 'bench_observer';

export async function startServers(): Promise<Servers> {
  const folder = mkdtempSync(path.join(tmpdir(), 'bench-'));
  const redis = await startRedis(path.join(folder));
  const postgres = await startDatabase(path.join(folder, 'postgres'));
  const { observer } = postgres;
  return {
    redis,
    postgres,
    observer,
    folder,
    async stop() {
      await observer.end();
      await Promise.all([redis.stop(), postgres.stop()]);
      rmSync(folder, { recursive: true, force: true });
      rmSync(postgres.directory, { recursive: true, force: true });
    },
  };
}

async function startRedis(folder: string) {
  const port = await freePort();
  const settings = [
    '--port',
    String(port),
    '--bind',
    '127.0.0.1',
    '--dir',
    folder,
    '--save',
    '',
    '--appendonly',
    'yes',
  ];
  const child = spawn('redis-server', settings, { stdio: 'ignore' });
  const ended = new Promise<void>((resolve) => {
    child.once('exit', () => resolve());
    child.once('error', () => resolve());
  });
  const url = `redis://127.0.0.1:${port}`;
  const client = new Redis(url, { retryStrategy: () => 50, maxRetriesPerRequest: null });
  client.on('error', () => undefined);
  const late = sleep(START_MS, false, { ref: false });
  const up = await Promise.race([client.ping(), late, ended.then(() => false)]);
  client.disconnect();
  if (up !== 'PONG') throw new Error('The benchmark needs redis-server on the PATH.');
  return {
    url,
    pid: child.pid ?? 0,
    async stop() {
      child.kill('SIGTERM');
      await ended;
    },
  };
}

async function startDatabase(folder: string) {
  const options = { folder, say: () => undefined };
  const first = await startPostgres(options);
  await withClient(first.url, (client) =>
    client.query(`ALTER SYSTEM SET shared_preload_libraries = 'pg_stat_statements'`),
  );
  await first.stop();
  const server = await startPostgres(options);
  await withClient(server.url, async (client) => {
    await client.query('CREATE EXTENSION pg_stat_statements');
    await client.query(`CREATE ROLE ${OBSERVER} SUPERUSER LOGIN PASSWORD '${OBSERVER}'`);
  });
  const url = new URL(server.url);
  url.username = OBSERVER;
  url.password = OBSERVER;
  const observer = new pg.Pool({ connectionString: url.href, max: 2, options: '-c enable_seqscan=off -c jit=off' });
  observer.on('error', () => undefined);
  return { url: server.url, pid: server.pid, directory: server.directory, observer, stop: () => server.stop() };
}

async function withClient(url: string, work: (client: pg.Client) => Promise<unknown>): Promise<void> {
  const client = new pg.Client({ connectionString: url });
  await client.connect();
  try {
    await work(client);
  } finally {
    await client.end();
  }
}

/** Statements of everybody but the observer since the server's start, those inside of functions left out. */
export async function countStatements(observer: pg.Pool): Promise<number> {
  const { rows } = await observer.query<{ calls: string }>(
    `SELECT coalesce(sum(calls), 0) AS calls FROM pg_stat_statements WHERE toplevel AND userid <> '${OBSERVER}'::regrole`,
  );
  return Number(rows[0]?.calls ?? 0);
}

/** The statements that took most of the server's time, for the eyes of whoever looks for it. */
export async function costliestStatements(observer: pg.Pool): Promise<string[]> {
  const { rows } = await observer.query<{ calls: string; ms: string; each: string; rows: string; query: string }>(
    `SELECT calls, round(total_exec_time)::text AS ms, round(mean_exec_time::numeric, 2)::text AS each, rows,
            left(regexp_replace(query, '\\s+', ' ', 'g'), 90) AS query
     FROM pg_stat_statements WHERE toplevel AND userid <> '${OBSERVER}'::regrole ORDER BY total_exec_time DESC LIMIT 12`,
  );
  return rows.map(
    ({ calls, ms, each, rows: touched, query }) => `${ms} ms in ${calls} of ${each} ms, ${touched} rows: ${query}`,
  );
}
