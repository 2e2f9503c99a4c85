import pg from 'pg';
import { v7 as uuidv7 } from 'uuid';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { migrateQueue } from '../../src/queue/migrate-queue.ts';
import { migrate, schemaDrift } from '../../src/store/migrate.ts';
import { migrationsFolder } from '../support/migrations-folder.ts';
import { createTestDatabase, type TestDatabase } from '../support/servers.ts';
import { until } from '../support/until.ts';

let database: TestDatabase;
let client: pg.Client;

beforeEach(async () => {
  database = await createTestDatabase();
  client = new pg.Client({ connectionString: database.url });
  await client.connect();
});
afterEach(async () => {
  await client.end();
  await database.drop();
});

async function empty(): Promise<void> {
  await client.query('DROP SCHEMA public CASCADE; DROP SCHEMA bullmq CASCADE; CREATE SCHEMA public');
}

test('the migrations lead exactly to schema.prisma', async () => {
  expect(await schemaDrift(database.url)).toBe('');
});

test('a database that differs from schema.prisma is noticed, down to the condition of an index', async () => {
  await client.query('ALTER TABLE run DROP COLUMN cancel_reason');
  expect(await schemaDrift(database.url)).toContain('cancel_reason');
  await client.query('ALTER TABLE run ADD COLUMN cancel_reason text');
  expect(await schemaDrift(database.url)).toBe('');
  await client.query('DROP INDEX run_cancelling; CREATE INDEX run_cancelling ON run (status)');
  expect(await schemaDrift(database.url)).toContain('run_cancelling');
});

test('a second run of the migrations changes nothing', async () => {
  expect(await migrate(database.url)).toEqual([]);
});

test('several processes may migrate an empty database at once', async () => {
  await empty();
  const applied = await Promise.all([1, 2, 3].map(() => migrate(database.url)));
  await Promise.all([1, 2, 3].map(() => migrateQueue(database.url)));
  expect(applied.filter((names) => names.length > 0)).toHaveLength(1);
  expect(await schemaDrift(database.url)).toBe('');
  const { rows } = await client.query("SELECT count(*)::int AS n FROM pg_tables WHERE schemaname = 'bullmq'");
  expect(rows[0].n).toBeGreaterThan(0);
});

test('a migration that fails is undone as a whole, says why, and is tried again from the start', async () => {
  const names = async () =>
    (await client.query("SELECT 1 FROM pg_tables WHERE tablename IN ('made', 'other')")).rowCount ?? 0;
  const broken = await migrationsFolder({ extra: { '29991231_more': 'CREATE TABLE made (a text); SELECT 1 / 0;' } });
  await expect(migrate(database.url, broken)).rejects.toThrow('division by zero');
  expect(await names()).toBe(0);
  const whole = await migrationsFolder({
    extra: {
      '29991231_more': `CREATE TABLE made (a text DEFAULT ';'); DO $$ BEGIN CREATE TABLE other (a text); END $$;`,
    },
  });
  expect(await migrate(database.url, whole)).toEqual(['29991231_more']);
  expect(await names()).toBe(2);
  expect(await migrate(database.url, whole)).toEqual([]);
});

test('a process that ended in the middle of a migration does not keep the next one from it', async () => {
  await client.query(`INSERT INTO _prisma_migrations (id, checksum, migration_name, applied_steps_count)
    VALUES ('x', 'y', '29991231_more', 0)`);
  const folder = await migrationsFolder({ extra: { '29991231_more': 'CREATE TABLE made (a text);' } });
  expect(await migrate(database.url, folder)).toEqual(['29991231_more']);
});

test('a migration with its own way beside the traffic is in no transaction', async () => {
  const sql =
    '-- Beside the traffic.\nDROP INDEX CONCURRENTLY IF EXISTS i;\nCREATE INDEX CONCURRENTLY i ON run (priority);';
  const folder = await migrationsFolder({ extra: { '29991231_more': sql } });
  expect(await migrate(database.url, folder)).toEqual(['29991231_more']);
  expect((await client.query("SELECT 1 FROM pg_indexes WHERE indexname = 'i'")).rowCount).toBe(1);
});

test('a migration that finds its table in use lets the others pass, and is applied when the table is free', async () => {
  const holder = new pg.Client({ connectionString: database.url });
  await holder.connect();
  try {
    await holder.query('BEGIN; SELECT 1 FROM run LIMIT 1');
    const folder = await migrationsFolder({ extra: { '29991231_more': 'ALTER TABLE run ADD COLUMN note text;' } });
    let applied: string[] | undefined;
    const migrating = migrate(database.url, folder).then((names) => {
      applied = names;
    });
    const waits = async () => {
      const { rows } = await client.query<{ pid: number }>(
        `SELECT pid FROM pg_locks WHERE NOT granted AND relation = 'run'::regclass AND mode = 'AccessExclusiveLock'`,
      );
      return rows[0]?.pid;
    };
    const tries = new Set<number>();
    await until(
      async () => {
        const pid = await waits();
        if (pid !== undefined) tries.add(pid);
        // Behind the migration in the line; answered while the holder is still there.
        await client.query('SELECT 1 FROM run LIMIT 1');
        return tries.size >= 2;
      },
      { what: 'the migration has tried twice', timeoutMs: 30_000 },
    );
    expect(applied).toBeUndefined();
    await holder.query('COMMIT');
    await migrating;
    expect(applied).toEqual(['29991231_more']);
  } finally {
    await holder.end();
  }
});

test('the history is cut into weeks while it is written, and nothing of it is lost', async () => {
  await empty();
  await migrate(database.url, await migrationsFolder({ before: '20261121094001_history_bound' }));
  const pool = new pg.Pool({ connectionString: database.url, max: 4 });
  const written: string[] = [];
  let stop = false;
  const writers = Array.from({ length: 4 }, async () => {
    while (!stop) {
      const run = uuidv7();
      // Both tables in one statement, as results are committed.
      await pool.query(
        `WITH a AS (INSERT INTO attempt (run_id, action_id, epoch, attempt, status, started_at, finished_at)
                    VALUES ($1, 'a', 1, 1, 'completed', now(), now()))
         INSERT INTO event (run_id, action_id, epoch, attempt, kind) VALUES ($1, 'a', 1, 1, 'task.completed')`,
        [run],
      );
      written.push(run);
    }
  });
  try {
    await until(() => written.length > 100);
    expect(await migrate(database.url)).toContain('20261121094004_event_partitions');
    const after = written.length;
    await until(() => written.length > after + 100);
  } finally {
    stop = true;
    await Promise.all(writers);
    await pool.end();
  }
  for (const table of ['attempt', 'event']) {
    const { rows } = await client.query<{ run_id: string }>(`SELECT run_id FROM ${table} ORDER BY 1`);
    expect(rows.map(({ run_id }) => run_id)).toEqual([...written].sort());
  }
  expect(await schemaDrift(database.url)).toBe('');
});
