/** A Redis and a migrated PostgreSQL of the benchmark's own, both with the settings that keep what was written. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import pg from 'pg';
import { createClosing } from '../test/harness/closing.ts';
import { openPostgres, openRedis, type StoreServer } from '../test/harness/servers/store-servers.ts';

export interface Servers {
  redis: StoreServer;
  postgres: StoreServer;
  /** Of a role of its own, so that what the benchmark asks is not counted. */
  observer: pg.Pool;
  /** Empty: processes that run in it find no .env. */
  folder: string;
  stop(): Promise<void>;
}

const OBSERVER = 'bench_observer';

export async function startServers(): Promise<Servers> {
  const closing = createClosing();
  try {
    const folder = mkdtempSync(path.join(tmpdir(), 'bench-'));
    closing.push(() => rmSync(folder, { recursive: true, force: true }));
    const redis = await openRedis('everysec');
    closing.push(() => redis.close());
    const postgres = await openPostgres({
      durable: true,
      settings: { shared_preload_libraries: 'pg_stat_statements' },
    });
    closing.push(() => postgres.close());
    const observer = await openObserver(postgres.url);
    closing.push(() => observer.end());
    return { redis, postgres, observer, folder, stop: closing.close };
  } catch (error) {
    await closing.close();
    throw error;
  }
}

async function openObserver(databaseUrl: string): Promise<pg.Pool> {
  await withClient(databaseUrl, async (client) => {
    await client.query('CREATE EXTENSION pg_stat_statements');
    await client.query(`CREATE ROLE ${OBSERVER} SUPERUSER LOGIN PASSWORD '${OBSERVER}'`);
  });
  const url = new URL(databaseUrl);
  url.username = OBSERVER;
  url.password = OBSERVER;
  const observer = new pg.Pool({ connectionString: url.href, max: 2, options: '-c enable_seqscan=off -c jit=off' });
  observer.on('error', () => undefined);
  return observer;
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
