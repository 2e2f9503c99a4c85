/** Retention among 200,000 runs: a batch reads what it removes and little else. */
import { afterAll, beforeAll, expect, test } from 'vitest';
import { type Database, openDatabase } from '../../src/store/database.ts';
import { BEGIN_BATCH, createRetentionStore, REMOVE_BATCH, TASKS_PER_BATCH } from '../../src/store/retention.ts';
import { createTestDatabase, type TestDatabase } from '../support/servers.ts';

const RUNS = 200_000;
const BATCH = 100;

let place: TestDatabase;
let database: Database;
beforeAll(async () => {
  place = await createTestDatabase();
  database = openDatabase(place.url, { name: 'retention-scale', max: 2, onError: () => undefined });
  // Without statistics, as after a bulk load: the plan may not depend on them.
  await database.pool.query(`
    INSERT INTO run (id, tenant_id, user_id, workflow_id, workflow_version, status, final, parameters, created_at, finished_at)
    SELECT 'r' || lpad(i::text, 8, '0'), 't', 'u', 'w', 1, 'completed', true, '{}', now() - interval '90 days',
           now() - interval '90 days' + i * interval '1 second'
    FROM generate_series(1, ${RUNS}) i`);
  await database.pool.query(`
    INSERT INTO task (run_id, action_id, action_type, epoch, status, final) SELECT id, 'a', 'x', 1, 'completed', true FROM run`);
  await database.pool.query(
    `INSERT INTO event (run_id, action_id, epoch, kind) SELECT id, 'a', 1, 'task.completed' FROM run`,
  );
}, 120_000);
afterAll(async () => {
  await database.close();
  await place.drop();
});

interface PlanNode {
  'Node Type': string;
  'Relation Name'?: string;
  'Actual Rows': number;
  'Actual Loops': number;
  'Rows Removed by Filter'?: number;
  Plans?: PlanNode[];
}

function scans(node: PlanNode): PlanNode[] {
  const own = node['Relation Name'] !== undefined && node['Node Type'].includes('Scan') ? [node] : [];
  return [...own, ...(node.Plans ?? []).flatMap(scans)];
}

const visited = (node: PlanNode) =>
  (node['Actual Rows'] + (node['Rows Removed by Filter'] ?? 0)) * node['Actual Loops'];

test('a batch visits a few rows for each run that it removes, of no table all', async () => {
  const client = await database.pool.connect();
  await client.query(BEGIN_BATCH);
  const explain = `EXPLAIN (ANALYZE, FORMAT JSON) ${REMOVE_BATCH}`;
  const { rows } = await client.query(explain, [7, BATCH, TASKS_PER_BATCH]);
  await client.query('COMMIT');
  client.release();
  const plan: PlanNode = rows[0]['QUERY PLAN'][0].Plan;
  const found = scans(plan);
  const tables = new Set(found.map((node) => node['Relation Name']));
  for (const table of ['run', 'task', 'event_default', 'attempt_default', 'late_effect'])
    expect(tables).toContain(table);
  for (const node of found) expect(visited(node), JSON.stringify(node)).toBeLessThanOrEqual(3 * BATCH);
  const { rows: left } = await database.pool.query(
    'SELECT (SELECT count(*)::int FROM run) AS runs, (SELECT count(*)::int FROM task) AS tasks, (SELECT count(*)::int FROM event) AS events',
  );
  const rest = RUNS - BATCH;
  expect(left).toEqual([{ runs: rest, tasks: rest, events: rest }]);
});

test('batch after batch removes the oldest, and none twice', async () => {
  const retention = createRetentionStore(database.pool);
  for (let batch = 0; batch < 20; batch += 1) expect(await retention.removeBatch(7, BATCH)).toBe(BATCH);
  const { rows } = await database.pool.query('SELECT min(id) AS oldest FROM run');
  expect(rows).toEqual([{ oldest: `r${String(21 * BATCH + 1).padStart(8, '0')}` }]);
});
