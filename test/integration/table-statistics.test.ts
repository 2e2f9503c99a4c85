import pg from 'pg';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { createTenantScope } from '../../src/engine/tenant-scope.ts';
import { type Database, openDatabase } from '../../src/store/core/database.ts';
import { countGrownTables } from '../../src/store/migrations/table-statistics.ts';
import { READ_RESULT } from '../../src/store/views/runs-read.ts';
import { until } from '../harness/until.ts';
import { createTestDatabase, type TestDatabase } from '../support/servers.ts';

const ROWS = 1_000;
const scope = createTenantScope();
let place: TestDatabase;
let owner: pg.Pool;
let db: Database;

beforeAll(async () => {
  place = await createTestDatabase();
  owner = new pg.Pool({ connectionString: place.url, max: 1 });
  db = openDatabase(place.url, {
    name: 'test',
    max: 1,
    onError: () => undefined,
    rowLevelSecurity: { tenant: scope.tenant, isEnforced: async () => true },
  });
});

afterAll(async () => {
  await db.close();
  await owner.end();
  await place.drop();
});

async function fill(): Promise<void> {
  await owner.query(
    `INSERT INTO run (id, tenant_id, user_id, inline, parameters, status, priority, trace_id, final)
     SELECT 'r' || i, 'default', 'u', '{}', '{}', 'completed', 50, 't', true FROM generate_series(1, $1) i`,
    [ROWS],
  );
  await owner.query(
    `INSERT INTO task (run_id, action_id, action_type, epoch, attempt, ended_attempt, fence, deliveries, status, final)
     SELECT 'r' || i, 'task', 'test_task', 1, 1, 1, 1, 1, 'completed', true FROM generate_series(1, $1) i`,
    [ROWS],
  );
}

/** Of one connection, whose plan is kept after a few executions. */
const read = (text: string) => scope.in({ tenantId: 'default' }, () => db.pool.query({ text, values: [] }));
const explained = async () =>
  (await read(`EXPLAIN EXECUTE read_result('default', 'r77')`)).rows
    .map((row: { 'QUERY PLAN': string }) => row['QUERY PLAN'])
    .join('\n');

test('a plan that was made when tables were empty is made anew when they have grown, and goes by keys', async () => {
  // Autovacuum may not come first.
  for (const table of ['run', 'task']) await owner.query(`ALTER TABLE ${table} SET (autovacuum_enabled = false)`);
  await read(`PREPARE read_result (text, text) AS ${READ_RESULT}`);
  for (let times = 0; times < 10; times += 1) await read(`EXECUTE read_result('default', 'r77')`);
  await fill();
  expect(await explained()).toMatch(/hashed SubPlan|tenant_id = \$1\)\n.*Filter: \(id/);

  await until(async () => {
    const counted = await countGrownTables(owner);
    return counted.includes('run') && counted.includes('task');
  });
  const plan = await explained();
  expect(plan).not.toContain('hashed SubPlan');
  expect(plan).toContain('run_pkey on run r');
  expect(await countGrownTables(owner)).toEqual([]);
});
