/**
 * Which migrations a database has. Table and rows are those of Prisma's schema engine, which wrote them before: a database
 * goes on from there, and `prisma migrate status` can read it.
 */
import { createHash, randomUUID } from 'node:crypto';
import type pg from 'pg';

/** One folder below prisma/migrations. */
export interface Migration {
  name: string;
  sql: string;
}

const FIND_SCHEMA = `
SELECT current_schema() AS schema, to_regclass(quote_ident(current_schema()) || '._prisma_migrations') IS NOT NULL AS found`;

/** Of the schema that is ours by now. */
const FIND_TABLE = `
SELECT c.oid::regclass::text AS name FROM pg_class c
WHERE c.relnamespace = quote_ident(current_schema())::regnamespace AND c.relkind IN ('r', 'p') ORDER BY 1 LIMIT 1`;

const MAKE_TABLE = `
CREATE TABLE IF NOT EXISTS _prisma_migrations (
  id VARCHAR(36) PRIMARY KEY NOT NULL,
  checksum VARCHAR(64) NOT NULL,
  finished_at TIMESTAMPTZ,
  migration_name VARCHAR(255) NOT NULL,
  logs TEXT,
  rolled_back_at TIMESTAMPTZ,
  started_at TIMESTAMPTZ NOT NULL DEFAULT now(),
  applied_steps_count INTEGER NOT NULL DEFAULT 0
)`;

const READ = `
SELECT migration_name AS name, checksum, finished_at IS NOT NULL AS finished FROM _prisma_migrations WHERE rolled_back_at IS NULL`;

const FORGET_UNFINISHED = `
UPDATE _prisma_migrations SET rolled_back_at = now() WHERE finished_at IS NULL AND rolled_back_at IS NULL`;

const NOTE = `
INSERT INTO _prisma_migrations (id, checksum, migration_name, started_at, finished_at, applied_steps_count)
VALUES ($1, $2, $3, clock_timestamp() - $4 * interval '1 millisecond', clock_timestamp(), 1)`;

/**
 * Those of `migrations` that the database does not have. One that was applied with another text is an error. Those that it
 * has and nobody here knows are a newer release's, whose database an older one may serve.
 */
export async function findMissing(client: pg.ClientBase, migrations: Migration[]): Promise<Migration[]> {
  await makeTable(client);
  const { rows } = await client.query<{ name: string; checksum: string; finished: boolean }>(READ);
  // Left by a version that noted the start too: what it had started was rolled back, or is done again.
  if (rows.some(({ finished }) => !finished)) await client.query(FORGET_UNFINISHED);
  const applied = rows.filter(({ finished }) => finished);
  return migrations.filter((migration) => {
    const own = applied.filter(({ name }) => name === migration.name);
    if (own.length > 0 && !own.some(({ checksum }) => isOf(migration, checksum))) throw edited(migration.name);
    return own.length === 0;
  });
}

/** `tookMs`: since its start. */
export async function noteApplied(client: pg.ClientBase, { name, sql }: Migration, tookMs: number): Promise<void> {
  await client.query(NOTE, [randomUUID(), checksumOf(sql), name, tookMs]);
}

async function makeTable(client: pg.ClientBase): Promise<void> {
  const { rows } = await client.query<{ schema: string | null; found: boolean }>(FIND_SCHEMA);
  if (rows[0]?.found === true) return;
  if (rows[0]?.schema == null) await client.query('CREATE SCHEMA IF NOT EXISTS public');
  const { rows: strangers } = await client.query<{ name: string }>(FIND_TABLE);
  if (strangers[0] !== undefined)
    throw new Error(
      `The database schema is not empty, and was not made by these migrations: it has the table ${strangers[0].name}. Give the service a database or a schema (search_path) of its own.`,
    );
  await client.query(MAKE_TABLE);
}

function edited(name: string): Error {
  return new Error(
    `${name}/migration.sql was edited after it was applied to this database. Bring back the text that was released; what is to change is a new migration.`,
  );
}

/** A checkout may have other ends of lines than the one from which it was applied. */
function isOf({ sql }: Migration, checksum: string): boolean {
  const unix = sql.replaceAll('\r\n', '\n');
  return [sql, unix, unix.replaceAll('\n', '\r\n')].some((text) => checksumOf(text) === checksum);
}

function checksumOf(sql: string): string {
  return createHash('sha256').update(sql).digest('hex');
}
