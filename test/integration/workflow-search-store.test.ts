/** The search of workflows in the database: what the triggers keep, and that it stays fast. */
import pg from 'pg';
import { v7 as uuidv7 } from 'uuid';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { schemaDrift } from '../../scripts/schema-drift.ts';
import { searchWords } from '../../src/features/search/domain.ts';
import { createWorkflowSearch } from '../../src/features/search/store.ts';
import { type Database, openDatabase } from '../../src/store/core/database.ts';
import { migrate } from '../../src/store/migrations/migrate.ts';
import { createWorkflowStore } from '../../src/store/runs/workflows.ts';
import { normalise } from '../support/definitions.ts';
import { createTestDatabase, type TestDatabase } from '../support/servers.ts';

let place: TestDatabase;
let database: Database;
beforeAll(async () => {
  place = await createTestDatabase();
  database = openDatabase(place.url, { name: 'test', max: 3, onError: () => undefined });
});
afterAll(async () => {
  await database.close();
  await place.drop();
});

const store = () => createWorkflowStore(database.prisma, uuidv7);
async function find(tenant: string, q: string, page = { limit: 50, skip: 0 }) {
  return createWorkflowSearch(database.pool).search(tenant, searchWords(q), page);
}
async function names(tenant: string, q: string): Promise<string[]> {
  return (await find(tenant, q)).items.map(({ name }) => name);
}
function definition(name: string, more: object = {}) {
  return normalise({ name, actions: [{ action_id: 'a', action_type: 'test_task' }], ...more });
}

test('a workflow is found by its name, tags, actions and description, in this order', async () => {
  const actions = [
    { action_id: 'fetch_invoice_data', name: 'sendLetterNow', action_type: 'http_request', config: { url: 'x' } },
  ];
  for (const made of [
    definition('In Description', { description: 'pays an invoice' }),
    definition('In Actions', { actions }),
    definition('In Tags', { tags: ['invoice-run'] }),
    definition('Invoice'),
    definition('Nothing of it'),
  ])
    await store().create('order', 'u', made);
  await store().create('stranger', 'u', definition('Invoice of another'));
  expect(await names('order', 'invoice')).toEqual(['Invoice', 'In Tags', 'In Actions', 'In Description']);
  expect(await names('order', 'INVO')).toEqual(['Invoice', 'In Tags', 'In Actions', 'In Description']);
  expect(await names('order', 'http_request')).toEqual(['In Actions']);
  expect(await names('order', 'letter data')).toEqual(['In Actions']);
  expect(await names('order', 'sendletternow')).toEqual(['In Actions']);
  expect(await names('order', "run' | !invoice & (")).toEqual(['In Tags']);
  expect(await names('order', 'invoice zebra')).toEqual([]);
});

test('what is found is the current version, and nothing that was deleted', async () => {
  const { id } = await store().create('versions', 'u', definition('Alpha'));
  await store().update('versions', 'u', id, { expectedVersion: 1, definition: definition('Beta') });
  expect([await names('versions', 'alpha'), await names('versions', 'beta')]).toEqual([[], ['Beta']]);
  // A version that is only tried out is not the current one, until it is promoted.
  await store().update('versions', 'u', id, { expectedVersion: 2, definition: definition('Gamma'), canaryPercent: 5 });
  expect([await names('versions', 'beta'), await names('versions', 'gamma')]).toEqual([['Beta'], []]);
  await store().promoteCanary('versions', id);
  expect([await names('versions', 'beta'), await names('versions', 'gamma')]).toEqual([[], ['Gamma']]);
  await store().remove({ tenantId: 'versions', userId: 'u' }, id, undefined);
  expect(await names('versions', 'gamma')).toEqual([]);
  const left = await database.pool.query('SELECT 1 FROM workflow_search WHERE workflow_id = $1', [id]);
  expect(left.rowCount).toBe(0);
});

test('a definition of any size and any words can be kept', async () => {
  const actions = Array.from({ length: 10_000 }, (_, n) => ({
    action_id: `${n}-${'long'.repeat(40)}`,
    action_type: 'test_task',
  }));
  const description = Array.from({ length: 9_000 }, (_, n) => `w${n}`).join(' ');
  const huge = definition(`${'x'.repeat(200)} ünïcödé 文書`, { actions, description, tags: ['\\ \' " <> | & ! : *'] });
  await store().create('huge', 'u', huge);
  expect(await names('huge', '文書')).toHaveLength(1);
  expect(await names('huge', 'ünïc')).toHaveLength(1);
});

test('typing errors are forgiven where nothing has the words, unless the server has no pg_trgm', async () => {
  await store().create('typos', 'u', definition('Document Analysis'));
  await store().create('typos', 'u', definition('Nightly Report'));
  for (const q of ['documnet', 'Docment anlysis', 'reprot nigthly']) {
    const { items, match } = await find('typos', q);
    expect({ q, match, found: items.length }).toEqual({ q, match: 'similar', found: 1 });
    expect(items[0]?.rank).toBeGreaterThan(0.35);
  }
  expect(await find('typos', 'zebra')).toEqual({ items: [], total: 0, match: 'words' });
  const { match } = await find('typos', 'report');
  expect(match).toBe('words');

  await database.pool.query('DROP EXTENSION pg_trgm CASCADE');
  expect(await find('typos', 'documnet')).toEqual({ items: [], total: 0, match: 'words' });
  expect(await names('typos', 'document')).toEqual(['Document Analysis']);
  expect(await schemaDrift(place.url)).toBe('');
});

test('a server that does not let us have pg_trgm is migrated all the same', async () => {
  const fresh = await createTestDatabase();
  const admin = new pg.Client({ connectionString: fresh.url });
  await admin.connect();
  const role = `no_extensions_${fresh.name}`;
  try {
    await admin.query(`
      DROP SCHEMA public CASCADE; DROP SCHEMA bullmq CASCADE; DROP EXTENSION IF EXISTS pg_trgm;
      CREATE ROLE ${role} LOGIN PASSWORD 'secret'; CREATE SCHEMA public AUTHORIZATION ${role};`);
    const url = new URL(fresh.url);
    url.username = role;
    url.password = 'secret';
    expect(await migrate(url.href)).toContain('20261121153000_workflow_catalog');
    expect((await admin.query(`SELECT 1 FROM pg_extension WHERE extname = 'pg_trgm'`)).rowCount).toBe(0);
    expect(await schemaDrift(url.href)).toBe('');
  } finally {
    await admin.end();
    await fresh.drop();
    await database.pool.query(`DROP ROLE ${role}`);
  }
});

test('ten thousand workflows are searched by an index, and put in order a page at a time', async () => {
  const fresh = await createTestDatabase();
  const { pool, close } = openDatabase(fresh.url, { name: 'test', max: 2, onError: () => undefined });
  try {
    await pool.query(`
      INSERT INTO workflow (id, tenant_id, name, tags, created_by)
      SELECT n::text, 'many', 'Workflow ' || n || CASE WHEN n % 100 = 0 THEN ' hundred' ELSE '' END, ARRAY['t' || n % 7], 'u'
      FROM generate_series(1, 10000) AS n`);
    await pool.query(`
      INSERT INTO workflow_version (workflow_id, version, definition, created_by)
      SELECT id, 1, jsonb_build_object('name', name, 'parameters', '[]'::jsonb, 'actions',
               '[{"action_id": "a", "action_type": "test_task"}]'::jsonb), 'u' FROM workflow`);
    await pool.query('ANALYZE workflow_search, workflow, workflow_version');
    const search = createWorkflowSearch(pool);
    const first = await search.search('many', ['hundred'], { limit: 30, skip: 0 });
    expect(first).toMatchObject({ total: 100, match: 'words' });
    const seen = new Set<string>();
    for (let skip = 0; skip < 100; skip += 30) {
      const { items } = await search.search('many', ['hundred'], { limit: 30, skip });
      for (const item of items) seen.add(item.id);
    }
    expect(seen.size).toBe(100);
    expect(await search.search('many', ['workflow'], { limit: 1, skip: 9_999 })).toMatchObject({
      items: [{ tags: [expect.any(String)] }],
      total: 10_000,
    });
    expect(await search.search('many', ['hundred'], { limit: 30, skip: 300 })).toMatchObject({ items: [], total: 100 });
    expect(await search.search('other', ['hundred'], { limit: 30, skip: 0 })).toMatchObject({ items: [], total: 0 });

    const client = await pool.connect();
    const plan = async (condition: string) => {
      const { rows } = await client.query<{ 'QUERY PLAN': string }>(
        `EXPLAIN SELECT workflow_id FROM workflow_search s WHERE tenant_id = 'many' AND ${condition}`,
      );
      return rows.map((row) => row['QUERY PLAN']).join('\n');
    };
    const words = `document @@ to_tsquery('simple', '''hundred'':*')`;
    const likeness = `'hundrde' <% lower(words)`;
    try {
      // At most the workflows of the tenant are read, and where they are many those that have the words.
      for (const condition of [words, likeness]) expect(await plan(condition)).not.toContain('Seq Scan');
      await client.query('DROP INDEX workflow_search_tenant_id_idx; SET enable_seqscan = off');
      expect(await plan(words)).toContain('workflow_search_document_idx');
      expect(await plan(likeness)).toContain('workflow_search_similar');
    } finally {
      client.release(true);
    }
  } finally {
    await close();
    await fresh.drop();
  }
});
