/** Brings a database to the newest schema. Safe to call from several processes at once. */
import { readdir, readFile } from 'node:fs/promises';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import pg from 'pg';
import { projectRoot } from '../project-root.ts';
import { raiseWall } from './row-level-security.ts';
import { type Migration, openSchemaEngine } from './schema-engine.ts';
import { READ_VERSION, requireSupported, type VersionRow } from './server-version.ts';

/** Any number that nothing else in the database uses as an advisory lock. */
const MIGRATION_LOCK = 7_203_441;
const ASK_AGAIN_MS = 200;

/** The names of the migrations that were applied now. */
export async function migrate(databaseUrl: string, folder = MIGRATIONS_FOLDER): Promise<string[]> {
  return withLock(databaseUrl, async () => {
    const engine = await openSchemaEngine(databaseUrl, await readSchema());
    try {
      const applied = await engine.apply(await readMigrations(folder));
      await raiseWall(databaseUrl);
      return applied;
    } finally {
      await engine.close();
    }
  });
}

/** The SQL that is missing between the database and `schema.prisma`; empty when they agree. */
export async function schemaDrift(databaseUrl: string): Promise<string> {
  const schema = await readSchema();
  const engine = await openSchemaEngine(databaseUrl, schema);
  try {
    return await engine.diff(schema);
  } finally {
    await engine.close();
  }
}

export const MIGRATIONS_FOLDER = path.join(projectRoot(), 'prisma', 'migrations');

async function readSchema(): Promise<string> {
  return readFile(path.join(projectRoot(), 'prisma', 'schema.prisma'), 'utf8');
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

/** The lock belongs to a connection of its own, so it ends with this process, whatever happens. */
async function withLock<T>(databaseUrl: string, work: () => Promise<T>): Promise<T> {
  const client = new pg.Client({ connectionString: databaseUrl, application_name: 'migrate' });
  client.on('error', () => undefined);
  await client.connect();
  try {
    requireSupported((await client.query<VersionRow>(READ_VERSION)).rows[0]);
    // Asking again and again: a statement that waits holds a snapshot, and CREATE INDEX CONCURRENTLY waits for all of them.
    while (!(await tryLock(client))) await sleep(ASK_AGAIN_MS);
    return await work();
  } finally {
    await client.end();
  }
}

async function tryLock(client: pg.Client): Promise<boolean> {
  const { rows } = await client.query<{ mine: boolean }>('SELECT pg_try_advisory_lock($1) AS mine', [MIGRATION_LOCK]);
  return rows[0]?.mine === true;
}
