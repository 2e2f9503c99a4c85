/** The second wall by itself: what the database lets the role of tenants see and write, whatever a statement leaves out. */
import { readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import pg from 'pg';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { createTenantScope } from '../../src/engine/tenant-scope.ts';
import { type Database, openDatabase } from '../../src/store/core/database.ts';
import {
  applyPolicies,
  findGap,
  ONLY_READ,
  standingOfTables,
  TENANT_ROLE,
} from '../../src/store/core/row-level-security.ts';
import { migrate } from '../../src/store/migrations/migrate.ts';
import { createTestDatabase, type TestDatabase } from '../support/servers.ts';

const REFUSED = '42501';
const CONNECTIONS = 2;

const scope = createTenantScope();
let place: TestDatabase;
let owner: pg.Pool;
let db: Database;
/** One row of every table, of tenant `a`. */
const rowsOfA = new Map<string, object>();

beforeAll(async () => {
  place = await createTestDatabase();
  owner = new pg.Pool({ connectionString: place.url, max: 2 });
  db = openDatabase(place.url, {
    name: 'test',
    max: CONNECTIONS,
    onError: () => undefined,
    rowLevelSecurity: { tenant: scope.tenant, isEnforced: async () => true },
  });
  for (const { table } of await standingOfTables(owner)) rowsOfA.set(table, await plant(table));
});

afterAll(async () => {
  await db.close();
  await owner.end();
  await place.drop();
});

/** Whatever a column must have: each text is the same, so that what names a parent names one that is there. */
async function plant(table: string): Promise<object> {
  const { rows: columns } = await owner.query<{ name: string; type: string }>(
    `SELECT a.attname AS name, format_type(a.atttypid, NULL) AS type FROM pg_attribute a
     WHERE a.attrelid = $1::regclass AND a.attnum > 0 AND NOT a.attisdropped AND a.attgenerated = ''
       AND (a.attnotnull OR a.attname = 'run_id')`,
    [pg.escapeIdentifier(table)],
  );
  const row = Object.fromEntries(columns.map(({ name, type }) => [name, name === 'tenant_id' ? 'a' : anyOf(type)]));
  const client = await owner.connect();
  try {
    // Neither keys of others nor triggers: what stands in one table is enough.
    await client.query('SET session_replication_role = replica');
    const { rows } = await client.query<{ made: object }>(
      `INSERT INTO ${named(table)} AS planted (${Object.keys(row).map(named)})
       SELECT ${Object.keys(row).map(named)} FROM jsonb_populate_record(NULL::${named(table)}, $1) RETURNING to_jsonb(planted.*) AS made`,
      [row],
    );
    return rows[0]?.made ?? {};
  } finally {
    client.release(true);
  }
}

function anyOf(type: string): unknown {
  if (type.endsWith('[]')) return [];
  if (type.startsWith('timestamp')) return '2030-01-01T00:00:00Z';
  if (type === 'uuid') return '00000000-0000-4000-8000-000000000001';
  if (type === 'jsonb') return {};
  if (type === 'boolean') return true;
  if (type === 'tsvector' || type === 'text' || type.startsWith('character')) return 'theirs';
  return 1;
}

const named = (name: string) => pg.escapeIdentifier(name);
const as = (tenantId: string, text: string, values: unknown[] = []) =>
  scope.in({ tenantId }, () => db.pool.query(text, values));
const codeOf = (error: unknown) =>
  typeof error === 'object' && error !== null && 'code' in error ? error.code : error;
const failing = (work: Promise<unknown>) => work.then(() => 'no error', codeOf);

test('every table of the schema is behind the wall, or is known to belong to no tenant', async () => {
  const tables = await standingOfTables(owner);
  expect(tables.length).toBeGreaterThan(40);
  const unknown = tables.filter(({ rule }) => rule === undefined).map(({ table }) => table);
  expect(
    unknown,
    'Nothing says whose the rows of these tables are: give them a column `tenant_id` or `run_id`, or name in ' +
      'src/store/core/row-level-security.ts what they hang on (HANGS_ON), or why they are nobody’s (NOBODYS)',
  ).toEqual([]);
  expect(await findGap(owner)).toBeUndefined();
});

test('a statement without a word about tenants finds, changes and removes nothing of another one', async () => {
  for (const { table, rule } of await standingOfTables(owner)) {
    if (rule === undefined || rule.kind === 'nobodys') continue;
    const of = named(table);
    expect((await as('a', `SELECT * FROM ${of}`)).rowCount, `a reads its own of ${table}`).toBe(1);
    expect((await as('b', `SELECT * FROM ${of}`)).rows, `b reads ${table}`).toEqual([]);
    const [column] = Object.keys(rowsOfA.get(table) ?? {});
    const same = named(column ?? '');
    if (ONLY_READ.has(table)) {
      for (const tenant of ['a', 'b']) {
        expect(await failing(as(tenant, `UPDATE ${of} SET ${same} = ${same}`)), `${table} is changed`).toBe(REFUSED);
        expect(await failing(as(tenant, `DELETE FROM ${of}`)), `${table} loses something`).toBe(REFUSED);
      }
      continue;
    }
    expect((await as('b', `UPDATE ${of} SET ${same} = ${same}`)).rowCount, `b changes ${table}`).toBe(0);
    expect((await as('b', `DELETE FROM ${of}`)).rowCount, `b removes from ${table}`).toBe(0);
  }
});

test('a row for another tenant is refused by every table, also as a change of an own one', async () => {
  for (const { table, rule } of await standingOfTables(owner)) {
    if (rule === undefined || rule.kind === 'nobodys') continue;
    const row = rowsOfA.get(table) ?? {};
    const columns = Object.keys(row).map(named);
    const insert = `INSERT INTO ${named(table)} (${columns}) SELECT ${columns} FROM jsonb_populate_record(NULL::${named(table)}, $1)`;
    expect(await failing(as('b', insert, [row])), `b writes into ${table}`).toBe(REFUSED);
    if (rule.kind === 'tenant') {
      const give = `UPDATE ${named(table)} SET tenant_id = 'b'`;
      expect(await failing(as('a', give)), `a gives what it has in ${table} to b`).toBe(REFUSED);
    }
  }
});

test('partitions cannot be read past the table that they belong to, nor what is nobody’s', async () => {
  const { rows: partitions } = await owner.query<{ name: string }>(
    `SELECT relname AS name FROM pg_class WHERE relispartition AND relkind = 'r' AND relnamespace = current_schema()::regnamespace`,
  );
  expect(partitions.length).toBeGreaterThan(3);
  for (const { name } of partitions) expect(await failing(as('a', `SELECT * FROM ${named(name)}`)), name).toBe(REFUSED);

  for (const { table, rule } of await standingOfTables(owner)) {
    if (rule?.kind !== 'nobodys') continue;
    const answer = await failing(as('a', `SELECT * FROM ${named(table)}`));
    expect(answer, table).toBe(rule.grants.includes('SELECT') ? 'no error' : REFUSED);
    expect(await failing(as('a', `DELETE FROM ${named(table)}`)), table).toBe(REFUSED);
  }
});

test('the role may neither log in, nor pass by a policy, nor own anything', async () => {
  const { rows } = await owner.query(
    `SELECT rolcanlogin, rolsuper, rolbypassrls, rolcreaterole, rolcreatedb,
       (SELECT count(*)::int FROM pg_class WHERE relowner = r.oid) AS owned FROM pg_roles r WHERE rolname = $1`,
    [TENANT_ROLE],
  );
  expect(rows).toEqual([
    { rolcanlogin: false, rolsuper: false, rolbypassrls: false, rolcreaterole: false, rolcreatedb: false, owned: 0 },
  ]);
});

const WHO = `SELECT current_setting('orchestrator.tenant', true) AS tenant, current_user::text AS role`;

test('a connection is never handed over with the tenant of the one before, whatever became of that one', async () => {
  // Fewer connections than work, so that they change hands all the time.
  const works: Array<(tenantId: string) => Promise<unknown>> = [
    () => db.pool.query('SELECT 1 / 0').catch(() => undefined),
    // Goes back in the middle of a transaction.
    async () => {
      const client = await db.pool.connect();
      await client.query('BEGIN');
      client.release();
    },
    // What was set in it is undone with it.
    async () => {
      const client = await db.pool.connect();
      await client
        .query('BEGIN')
        .then(() => client.query('SELECT nonsense'))
        .catch(() => undefined);
      await client.query('ROLLBACK');
      client.release();
    },
    async () => {
      const client = await db.pool.connect();
      await client.query('SELECT pg_terminate_backend(pg_backend_pid())').catch(() => undefined);
      client.release();
    },
    // The pool is asked with a callback too.
    (tenantId) =>
      new Promise<void>((resolve, reject) => {
        void db.pool.query(WHO, (error, result) => {
          const found = result?.rows[0] as { tenant?: string } | undefined;
          if (error === null || error === undefined) expect(found?.tenant).toBe(tenantId);
          return error === null || error === undefined ? resolve() : reject(error);
        });
      }),
    async () => undefined,
  ];
  const rounds = Array.from({ length: 240 }, (_, round) => ({
    tenantId: `t${round % 5}`,
    work: works[(round * 7) % 6],
  }));
  const all = (some: typeof rounds) =>
    Promise.all(
      some.map(({ tenantId, work }) =>
        scope.in({ tenantId }, async () => {
          await work?.(tenantId);
          const { rows } = await db.pool.query<{ tenant: string; role: string }>(WHO);
          return { tenantId, ...rows[0] };
        }),
      ),
    );
  // In halves: whoever waits for a connection does so for five seconds at most.
  const seen = [...(await all(rounds.slice(0, 120))), ...(await all(rounds.slice(120)))];
  for (const { tenantId, tenant, role } of seen)
    expect({ tenant, role }).toEqual({ tenant: tenantId, role: TENANT_ROLE });
  const { rows } = await db.pool.query<{ tenant: string | null; role: string }>(WHO);
  expect(rows[0]).toEqual({ tenant: null, role: new URL(place.url).username || 'postgres' });
});

test('prisma asks in the scope of who called it, in transactions too', async () => {
  await owner.query(`INSERT INTO workflow (id, tenant_id, name, created_by) VALUES ('b-1', 'b', 'theirs', 'b')
    ON CONFLICT DO NOTHING`);
  const names = (tenantId: string) =>
    scope.in({ tenantId }, async () => db.prisma.workflow.findMany({ select: { id: true } }));
  const both = await Promise.all([names('a'), names('b'), names('nobody')]);
  expect(both).toEqual([[{ id: 'theirs' }], [{ id: 'b-1' }], []]);
  const inTransaction = await scope.in({ tenantId: 'b' }, () =>
    db.prisma.$transaction(async (transaction) => {
      await Promise.resolve();
      return transaction.workflow.findMany({ select: { id: true } });
    }),
  );
  expect(inTransaction).toEqual([{ id: 'b-1' }]);
  expect(await db.prisma.workflow.count()).toBe(2);
});

test('prisma asks for each tenant on its own, also for what several ask for at the same moment', async () => {
  await owner.query(`INSERT INTO workflow (id, tenant_id, name, created_by) VALUES ('b-1', 'b', 'theirs', 'b')
    ON CONFLICT DO NOTHING`);
  const find = (tenantId: string, id: string) =>
    scope.in({ tenantId }, async () => db.prisma.workflow.findFirst({ where: { id }, select: { id: true } }));
  expect(await Promise.all([find('a', 'theirs'), find('b', 'b-1'), find('a', 'b-1'), find('b', 'theirs')])).toEqual([
    { id: 'theirs' },
    { id: 'b-1' },
    null,
    null,
  ]);
  // Prisma makes one statement of the `findUnique`s of one moment, whoever asks: it is asked for the first of them.
  expect(usesOf(/\.findUnique(?:OrThrow)?\(/, fileURLToPath(new URL('../../src/', import.meta.url)))).toEqual([]);
});

/** In all source but what is generated. */
function usesOf(pattern: RegExp, folder: string): string[] {
  return readdirSync(folder, { recursive: true, encoding: 'utf8' }).filter(
    (file) =>
      file.endsWith('.ts') &&
      !file.startsWith(path.join('store', 'generated')) &&
      pattern.test(readFileSync(path.join(folder, file), 'utf8')),
  );
}

test('a migration puts a new table behind the wall, and takes up one that was left open', async () => {
  await owner.query('CREATE TABLE later (tenant_id text NOT NULL, note text)');
  await owner.query('ALTER TABLE document DISABLE ROW LEVEL SECURITY');
  expect(await findGap(owner)).toBe('tables have no policy: document, later');
  expect(await migrate(place.url)).toEqual([]);
  expect(await findGap(owner)).toBeUndefined();
  expect(await failing(as('b', `INSERT INTO later VALUES ('a', 'from b')`))).toBe(REFUSED);
  expect((await as('b', `INSERT INTO later VALUES ('b', 'from b')`)).rowCount).toBe(1);
});

test('who was given more of the audit by an earlier version may only read it after the next migration', async () => {
  const rights = async () =>
    (
      await owner.query<{ held: boolean }>(
        `SELECT has_table_privilege('${TENANT_ROLE}', t, p) AS held
         FROM unnest($1::text[]) t, unnest(ARRAY['INSERT', 'UPDATE', 'DELETE', 'TRUNCATE']) p`,
        [[...ONLY_READ]],
      )
    ).rows.filter(({ held }) => held).length;
  await owner.query(`GRANT INSERT, UPDATE, DELETE ON audit_entry, audit_head TO ${TENANT_ROLE}`);
  expect(await rights()).toBe(6);
  expect(await applyPolicies(place.url)).toBeUndefined();
  expect(await rights()).toBe(0);
});

test('a role that owns nothing works for all tenants, and for one when it takes the role of tenants', async () => {
  const name = `app_${place.name}`;
  // On every version: since 16 it is also said of the grant alone.
  await owner.query(`CREATE ROLE ${name} LOGIN NOINHERIT PASSWORD 'app'`);
  await owner.query(`GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO ${name}`);
  await owner.query(`GRANT ${TENANT_ROLE} TO ${name}`);
  const url = new URL(place.url);
  url.username = name;
  url.password = 'app';
  const app = new pg.Pool({ connectionString: url.href, max: 1 });
  try {
    expect(await findGap(app)).toBeUndefined();
    expect((await app.query('SELECT id FROM workflow ORDER BY id')).rows).toEqual([{ id: 'b-1' }, { id: 'theirs' }]);
    await app.query(`SELECT set_config('role', $1, false), set_config('orchestrator.tenant', 'b', false)`, [
      TENANT_ROLE,
    ]);
    expect((await app.query('SELECT id FROM workflow')).rows).toEqual([{ id: 'b-1' }]);
  } finally {
    await app.end();
    await owner.query(`DROP OWNED BY ${name}; DROP ROLE ${name}`);
  }
});
