/** Brings a database to the newest schema. Safe to call from several processes at once. */
import { readdir, readFile } from 'node:fs/promises';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import pg from 'pg';
import { errorMessage } from '../../domain/texts/error-message.ts';
import { projectRoot } from '../../project-root.ts';
import { applyPolicies } from '../core/row-level-security.ts';
import { READ_VERSION, requireSupported, type VersionRow } from '../core/server-version.ts';
import { SESSION } from '../core/session.ts';
import { findMissing, type Migration, noteApplied } from './applied-migrations.ts';
import { runNoted } from './migration-script.ts';

/** Any number that nothing else in the database uses as an advisory lock. */
const MIGRATION_LOCK = 7_203_441;
const POLL_MS = 200;

/** The names of the migrations that were applied now. */
export async function migrate(databaseUrl: string, folder = MIGRATIONS_FOLDER): Promise<string[]> {
  return withLock(databaseUrl, async (client) => {
    const missing = await findMissing(client, await readMigrations(folder));
    for (const migration of missing) await apply(client, migration);
    await applyPolicies(databaseUrl);
    return missing.map(({ name }) => name);
  });
}

export const MIGRATIONS_FOLDER = path.join(projectRoot(), 'prisma', 'migrations');

async function apply(client: pg.Client, migration: Migration): Promise<void> {
  const { name, sql } = migration;
  const startedAt = performance.now();
  try {
    await runNoted(client, sql, () => noteApplied(client, migration, performance.now() - startedAt));
  } catch (error) {
    const reason = errorMessage(error);
    throw new Error(`${name}/migration.sql: ${reason}`, { cause: error });
  }
}

async function readMigrations(folder: string): Promise<Migration[]> {
  const entries = await readdir(folder, { withFileTypes: true });
  const names = entries.filter((entry) => entry.isDirectory()).map((entry) => entry.name);
  return Promise.all(
    names.sort().map(async (name) => ({
      name,
      sql: await readFile(path.join(folder, name, 'migration.sql'), 'utf8'),
    })),
  );
}

/**
 * The lock belongs to the connection that migrates, so it ends with this process, whatever happens, and not before the server
 * has ended what the process asked for last.
 */
async function withLock<T>(databaseUrl: string, work: (client: pg.Client) => Promise<T>): Promise<T> {
  const client = new pg.Client({ connectionString: databaseUrl, application_name: 'migrate' });
  client.on('error', () => undefined);
  await client.connect();
  try {
    requireSupported((await client.query<VersionRow>(READ_VERSION)).rows[0]);
    // By polling: a statement that waits holds a snapshot, and CREATE INDEX CONCURRENTLY waits for all of them.
    while (!(await tryLock(client))) await sleep(POLL_MS);
    await client.query(SESSION);
    return await work(client);
  } finally {
    await client.end();
  }
}

async function tryLock(client: pg.Client): Promise<boolean> {
  const { rows } = await client.query<{ mine: boolean }>('SELECT pg_try_advisory_lock($1) AS mine', [MIGRATION_LOCK]);
  return rows[0]?.mine === true;
}
