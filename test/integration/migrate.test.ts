import { spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { readdir, readFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { text } from 'node:stream/consumers';
import pg from 'pg';
import { v7 as uuidv7 } from 'uuid';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { schemaDrift } from '../../scripts/schema-drift.ts';
import { environmentWith } from '../../src/config/config.ts';
import { projectRoot } from '../../src/project-root.ts';
import { migrateQueue } from '../../src/queue/migrate-queue.ts';
import { MIGRATIONS_FOLDER, migrate } from '../../src/store/migrations/migrate.ts';
import { until } from '../harness/until.ts';
import { migrationsFolder } from '../support/migrations-folder.ts';
import { createTestDatabase, type TestDatabase } from '../support/servers.ts';

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

/** `npm run migrate`, as it is built. */
function startMigrating() {
  const child = spawn(process.execPath, [path.join(projectRoot(), 'dist', 'bin', 'migrate.js')], {
    cwd: tmpdir(),
    env: environmentWith({ DATABASE_URL: database.url, REDIS_URL: undefined, VITEST: undefined }),
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  const said = Promise.all([text(child.stdout), text(child.stderr)]).then((parts) => parts.join(''));
  const ended = once(child, 'exit').then(async ([code]) => ({ code, said: await said }));
  return { child, ended };
}

interface Noted {
  id: string;
  migration_name: string;
  checksum: string;
  started_at: Date;
  finished_at: Date | null;
  rolled_back_at: Date | null;
  logs: string | null;
  applied_steps_count: number;
}

async function noted(name = '%'): Promise<Noted[]> {
  const { rows } = await client.query<Noted>(
    'SELECT * FROM _prisma_migrations WHERE migration_name LIKE $1 ORDER BY migration_name, started_at',
    [name],
  );
  return rows;
}

async function namesIn(folder: string): Promise<string[]> {
  const entries = await readdir(folder, { withFileTypes: true });
  return entries
    .filter((entry) => entry.isDirectory())
    .map(({ name }) => name)
    .sort();
}

/** As the schema engine of Prisma made it. */
const TABLE_OF_PRISMA = `
CREATE TABLE _prisma_migrations (
  id VARCHAR(36) PRIMARY KEY NOT NULL, checksum VARCHAR(64) NOT NULL, finished_at TIMESTAMPTZ,
  migration_name VARCHAR(255) NOT NULL, logs TEXT, rolled_back_at TIMESTAMPTZ,
  started_at TIMESTAMPTZ NOT NULL DEFAULT now(), applied_steps_count INTEGER NOT NULL DEFAULT 0)`;
/** Written by it, for scripts that lie in the folder to this day. */
const CHECKSUMS_OF_PRISMA = {
  '0_init': 'ea79200ed76dccee4e9caa14d8c78e97a7bc6b18d80285dfe573f924347b2886',
  '20261121073426_dead_letters': '87ca7302b238290fee5e91c4eef267fae6b71eac74bb257e87ad6692e155c560',
};

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

test('several processes may be started at once: one of them migrates, and all of them end well', async () => {
  await empty();
  const ended = await Promise.all([1, 2].map(() => startMigrating().ended));
  expect(ended.map(({ code }) => code)).toEqual([0, 0]);
  const names = await namesIn(MIGRATIONS_FOLDER);
  expect(ended.map(({ said }) => said).join('')).toBe(names.map((name) => `Applied the migration ${name}.\n`).join(''));
  expect((await noted()).map(({ migration_name }) => migration_name)).toEqual(names);
});

test('the list of migrations is the one that Prisma keeps, in table and rows', async () => {
  const columns = async () => {
    const { rows } = await client.query(
      `SELECT column_name, ordinal_position, data_type, character_maximum_length, column_default, is_nullable
       FROM information_schema.columns WHERE table_name = '_prisma_migrations' ORDER BY 2`,
    );
    const { rows: keys } = await client.query(
      `SELECT conname, pg_get_constraintdef(oid) AS key FROM pg_constraint
       WHERE conrelid = '_prisma_migrations'::regclass ORDER BY 1`,
    );
    return { rows, keys };
  };
  for (const [name, checksum] of Object.entries(CHECKSUMS_OF_PRISMA)) {
    const [row, ...more] = await noted(name);
    expect(more).toEqual([]);
    expect(row).toEqual({
      ...{ migration_name: name, checksum, applied_steps_count: 1, logs: null, rolled_back_at: null },
      id: expect.stringMatching(/^[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}$/),
      ...{ started_at: expect.any(Date), finished_at: expect.any(Date) },
    });
    expect(Number(row?.finished_at) - Number(row?.started_at)).toBeGreaterThanOrEqual(0);
    expect(Math.abs(Date.now() - Number(row?.started_at))).toBeLessThan(3_600_000);
  }
  const ours = await columns();
  await client.query(`DROP TABLE _prisma_migrations; ${TABLE_OF_PRISMA}`);
  expect(await columns()).toEqual(ours);
});

test('a database that the schema engine of Prisma migrated goes on from there, also after it had failed', async () => {
  await empty();
  const next = '20261122112000_run_retention_days';
  const older = await migrationsFolder({ before: next });
  await migrate(database.url, older);
  await client.query(`DROP TABLE _prisma_migrations; ${TABLE_OF_PRISMA}`);
  const note = (row: Pick<Noted, 'migration_name' | 'checksum'> & Partial<Noted>) =>
    client.query(
      `INSERT INTO _prisma_migrations (id, migration_name, checksum, finished_at, rolled_back_at, logs, applied_steps_count)
       VALUES (gen_random_uuid(), $1, $2, $3, $4, $5, $6)`,
      [
        ...[row.migration_name, row.checksum, row.finished_at, row.rolled_back_at, row.logs],
        row.applied_steps_count ?? 0,
      ],
    );
  for (const name of await namesIn(older)) {
    const script = await readFile(path.join(older, name, 'migration.sql'));
    const checksum = createHash('sha256').update(script).digest('hex');
    await note({ migration_name: name, checksum, finished_at: new Date(), applied_steps_count: 1 });
  }
  // One that was given up, one that failed, and one whose process ended in the middle, each with another text.
  const begun = { migration_name: next, checksum: '0'.repeat(64) };
  await note({ ...begun, logs: 'external connector error', rolled_back_at: new Date() });
  await note({ ...begun, logs: 'external connector error' });
  await note(begun);

  const missing = (await namesIn(MIGRATIONS_FOLDER)).filter((name) => name >= next);
  expect(await migrate(database.url)).toEqual(missing);
  expect(await schemaDrift(database.url)).toBe('');
  const rows = await noted(next);
  expect(rows.filter(({ rolled_back_at }) => rolled_back_at !== null)).toHaveLength(3);
  expect(
    rows.filter(({ finished_at, rolled_back_at }) => finished_at !== null && rolled_back_at === null),
  ).toHaveLength(1);
  expect(await migrate(database.url)).toEqual([]);
});

test('a migration that was edited after it was applied is named, and nothing is applied', async () => {
  const text = 'CREATE TABLE made (\n  a text\n);\n';
  const [applied, edited, windows] = await Promise.all(
    [text, text.replace('text', 'integer'), text.replaceAll('\n', '\r\n')].map((script) =>
      migrationsFolder({ extra: { '29991230_made': script, '29991231_more': 'CREATE TABLE more (a text);' } }),
    ),
  );
  await migrate(database.url, await migrationsFolder({ extra: { '29991230_made': text } }));
  await expect(migrate(database.url, edited)).rejects.toThrow(
    /^29991230_made\/migration\.sql was edited after it was applied to this database\. Bring back the text/,
  );
  expect(await noted('29991231_more')).toEqual([]);
  // What a checkout makes of the ends of lines is no edit.
  expect(await migrate(database.url, windows)).toEqual(['29991231_more']);
  expect(await migrate(database.url, applied)).toEqual([]);
});

test('a release that is older than the database leaves alone what it does not know', async () => {
  await migrate(database.url, await migrationsFolder({ extra: { '29991231_more': 'CREATE TABLE made (a text);' } }));
  expect(await migrate(database.url)).toEqual([]);
  expect(await noted('29991231_more')).toMatchObject([{ rolled_back_at: null }]);
});

test('a migration that comes in between by its name is applied all the same, and several go by their names', async () => {
  const extra = { '29991231_b': 'INSERT INTO made VALUES (2);', '1_a': 'CREATE TABLE made (a integer);' };
  expect(await migrate(database.url, await migrationsFolder({ extra }))).toEqual(['1_a', '29991231_b']);
});

test('a database that somebody else has filled is left as it is', async () => {
  await empty();
  await client.query('CREATE TABLE theirs (a text)');
  await expect(migrate(database.url)).rejects.toThrow(/The database schema is not empty.* theirs/);
  const { rows } = await client.query(`SELECT tablename AS name FROM pg_tables WHERE schemaname = 'public'`);
  expect(rows).toEqual([{ name: 'theirs' }]);
});

test('a database without the schema public gets it', async () => {
  await client.query('DROP SCHEMA public CASCADE');
  expect(await migrate(database.url)).toContain('0_init');
});

test('who may only read the list finds that nothing is missing', async () => {
  const role = `reads_${database.name}`;
  await client.query(`CREATE ROLE ${role} LOGIN PASSWORD 'secret'; GRANT SELECT ON _prisma_migrations TO ${role}`);
  try {
    const url = new URL(database.url);
    [url.username, url.password] = [role, 'secret'];
    expect(await migrate(url.href)).toEqual([]);
    const more = await migrationsFolder({ extra: { '29991231_more': 'ALTER TABLE run ADD COLUMN note text;' } });
    await expect(migrate(url.href, more)).rejects.toThrow('29991231_more/migration.sql: must be owner of table run');
  } finally {
    await client.query(`DROP OWNED BY ${role}; DROP ROLE ${role}`);
  }
});

test('a migration that fails is undone as a whole, says why, and is tried again from the start', async () => {
  const names = async () =>
    (await client.query("SELECT 1 FROM pg_tables WHERE tablename IN ('made', 'other')")).rowCount ?? 0;
  const broken = await migrationsFolder({ extra: { '29991231_more': 'CREATE TABLE made (a text); SELECT 1 / 0;' } });
  await expect(migrate(database.url, broken)).rejects.toThrow('29991231_more/migration.sql: division by zero');
  expect(await names()).toBe(0);
  expect(await noted('29991231_more')).toEqual([]);
  const whole = await migrationsFolder({
    extra: {
      '29991231_more': `CREATE TABLE made (a text DEFAULT ';'); DO $$ BEGIN CREATE TABLE other (a text); END $$;`,
    },
  });
  expect(await migrate(database.url, whole)).toEqual(['29991231_more']);
  expect(await names()).toBe(2);
  expect(await migrate(database.url, whole)).toEqual([]);
});

test('a migration that cannot be noted as done is undone', async () => {
  const sql = `CREATE TABLE made (a text);
    ALTER TABLE _prisma_migrations ADD CONSTRAINT not_this CHECK (migration_name <> '29991231_more');`;
  const folder = await migrationsFolder({ extra: { '29991231_more': sql } });
  await expect(migrate(database.url, folder)).rejects.toThrow(/^29991231_more\/migration\.sql: .*"not_this"/);
  expect((await client.query(`SELECT to_regclass('made') AS made`)).rows).toEqual([{ made: null }]);
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

/** By index: whether it may be used. */
async function validity(index: string): Promise<boolean[]> {
  const { rows } = await client.query<{ valid: boolean }>(
    'SELECT indisvalid AS valid FROM pg_index WHERE indexrelid = to_regclass($1)',
    [index],
  );
  return rows.map(({ valid }) => valid);
}

test('half an index, which a migration beside the traffic has left, is made anew by the next start', async () => {
  await client.query('CREATE TABLE made (a integer); INSERT INTO made VALUES (1), (1)');
  const sql =
    '-- As on Windows.\r\nDROP INDEX CONCURRENTLY IF EXISTS i;\r\nCREATE UNIQUE INDEX CONCURRENTLY i ON made (a);\r\n';
  const folder = await migrationsFolder({ extra: { '29991231_more': sql } });
  for (const _ of [1, 2]) {
    await expect(migrate(database.url, folder)).rejects.toThrow(
      '29991231_more/migration.sql: could not create unique index "i"',
    );
    expect(await validity('i')).toEqual([false]);
    expect(await noted('29991231_more')).toEqual([]);
  }
  await client.query('TRUNCATE made');
  expect(await migrate(database.url, folder)).toEqual(['29991231_more']);
  expect(await validity('i')).toEqual([true]);
});

test('a process that is killed while it makes an index leaves the lock to what the server still does for it', async () => {
  const [last, index] = ['20261122112002_run_removed_after', 'run_removed_after'];
  await client.query(`DROP INDEX ${index}; DELETE FROM _prisma_migrations WHERE migration_name = '${last}'`);
  const holder = new pg.Client({ connectionString: database.url });
  await holder.connect();
  try {
    // An index that is made beside the traffic is there and not valid until those who write have ended.
    await holder.query('BEGIN; LOCK TABLE run IN ROW EXCLUSIVE MODE');
    const { child, ended } = startMigrating();
    await until(async () => (await validity(index))[0] === false, { what: 'half an index is there' });
    child.kill('SIGKILL');
    expect(await ended).toMatchObject({ code: null });
    let applied: string[] | undefined;
    const migrating = migrate(database.url).then((names) => {
      applied = names;
    });
    const waiting = async () => {
      const { rows } = await client.query<{ n: number }>(
        `SELECT count(*)::int AS n FROM pg_stat_activity
         WHERE datname = current_database() AND application_name = 'migrate' AND query LIKE '%pg_try_advisory_lock%'`,
      );
      return rows[0]?.n === 1;
    };
    await until(waiting, { what: 'the next one asks for the lock' });
    expect(applied).toBeUndefined();
    await holder.query('COMMIT');
    await migrating;
    expect(applied).toEqual([last]);
    expect(await validity(index)).toEqual([true]);
  } finally {
    await holder.end();
  }
});

test('beside the traffic a statement that goes on over a line is refused before anything is done', async () => {
  const sql =
    'DROP INDEX CONCURRENTLY IF EXISTS run_live_by_tenant;\nCREATE INDEX CONCURRENTLY i ON run (priority)\n  WHERE final;\n';
  const folder = await migrationsFolder({ extra: { '29991231_more': sql } });
  await expect(migrate(database.url, folder)).rejects.toThrow(
    '29991231_more/migration.sql: line 2 is no whole statement',
  );
  expect(await validity('run_live_by_tenant')).toEqual([true]);
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
      const { rows } = await client.query<{ begun: string }>(
        `SELECT a.xact_start::text AS begun FROM pg_locks l JOIN pg_stat_activity a USING (pid)
         WHERE NOT l.granted AND l.relation = 'run'::regclass AND l.mode = 'AccessExclusiveLock'`,
      );
      return rows[0]?.begun;
    };
    const tries = new Set<string>();
    await until(
      async () => {
        const begun = await waits();
        if (begun !== undefined) tries.add(begun);
        // Behind the migration in the line; answered while the holder is still there.
        await client.query('SELECT 1 FROM run LIMIT 1');
        return tries.size >= 2;
      },
      { what: 'the migration has tried twice' },
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
