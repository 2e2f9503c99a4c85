/** Retention among 200,000 runs: a batch reads what it removes and little else. */
import { afterAll, beforeAll, expect, test } from 'vitest';
import { type Database, openDatabase } from '../../src/store/core/database.ts';
import {
  BY_INDEX,
  createRetentionStore,
  REMOVE_BY_OWN_DAYS,
  REMOVE_BY_SETTING,
  REMOVE_OLDEST,
  TASKS_PER_BATCH,
} from '../../src/store/recover/retention.ts';
import { explain, type PlanNode } from '../support/explain.ts';
import { createTestDatabase, type TestDatabase } from '../support/servers.ts';

const RUNS = 200_000;
const BATCH = 100;
const idOf = (n: number) => `r${String(n).padStart(8, '0')}`;

let place: TestDatabase;
let database: Database;
beforeAll(async () => {
  place = await createTestDatabase();
  database = openDatabase(place.url, { name: 'retention-scale', max: 2, plansOnce: true, onError: () => undefined });
  // Without statistics, as after a bulk load: the plan may not depend on them.
  await database.pool.query(`
    INSERT INTO run (id, tenant_id, user_id, workflow_id, workflow_version, status, final, parameters, created_at, finished_at, retention_days)
    SELECT 'r' || lpad(i::text, 8, '0'), 't', 'u', 'w', 1, 'completed', true, '{}', now() - interval '90 days',
           now() - interval '90 days' + i * interval '1 second',
           CASE WHEN i <= ${RUNS / 5} THEN 365 WHEN i <= ${(2 * RUNS) / 5} THEN 1 END
    FROM generate_series(1, ${RUNS}) i`);
  await database.pool.query(`
    INSERT INTO task (run_id, action_id, action_type, epoch, status, final) SELECT id, 'a', 'x', 1, 'completed', true FROM run`);
  await database.pool.query(
    `INSERT INTO event (run_id, action_id, epoch, kind) SELECT id, 'a', 1, 'task.completed' FROM run`,
  );
});
afterAll(async () => {
  await database.close();
  await place.drop();
});

function scans(node: PlanNode): PlanNode[] {
  const own = node['Relation Name'] !== undefined && node['Node Type'].includes('Scan') ? [node] : [];
  return [...own, ...(node.Plans ?? []).flatMap(scans)];
}

const visited = (node: PlanNode) =>
  (node['Actual Rows'] + (node['Rows Removed by Filter'] ?? 0)) * node['Actual Loops'];

const HISTORY_NOW = ['event', 'attempt'].map((table) => `${table}_default`);

/** Two fifths of the runs have days of their own: the oldest fifth more than are over, the next one fewer. */
test.each([
  ['by the setting', REMOVE_BY_SETTING, [7], RUNS / 5 + RUNS / 5],
  ['by days of their own', REMOVE_BY_OWN_DAYS, [], RUNS / 5],
  ['by their end', REMOVE_OLDEST, [new Date()], 0],
])('a batch %s visits a few rows for each run that it removes, of no table all', async (_, text, more, before) => {
  const client = await database.pool.connect();
  try {
    await client.query(`BEGIN; ${BY_INDEX}`);
    const found = scans(await explain(client, 'force_generic_plan', text, [BATCH, TASKS_PER_BATCH, ...more]));
    const tables = new Set(found.map((node) => node['Relation Name']));
    for (const table of ['run', 'task', 'late_effect', ...HISTORY_NOW]) expect(tables).toContain(table);
    for (const node of found) expect(visited(node), JSON.stringify(node)).toBeLessThanOrEqual(3 * BATCH);
    // The history of a run is looked for in its own partition alone.
    for (const node of found.filter((each) => /_\d{8}$/.test(each['Relation Name'] ?? '')))
      expect(node['Actual Loops'], JSON.stringify(node)).toBe(0);
    const { rows: left } = await client.query(
      `
      SELECT (SELECT count(*)::int FROM run) AS runs, (SELECT count(*)::int FROM task) AS tasks, (SELECT count(*)::int FROM event) AS events,
        (SELECT count(*)::int FROM run WHERE id > $1 AND id <= $2) AS removed`,
      [idOf(before), idOf(before + BATCH)],
    );
    const rest = RUNS - BATCH;
    expect(left).toEqual([{ runs: rest, tasks: rest, events: rest, removed: 0 }]);
  } finally {
    await client.query('ROLLBACK');
    client.release();
  }
});

test('batch after batch removes the oldest, and none twice', async () => {
  const retention = createRetentionStore(database.pool);
  const due = { by: 'own_days' } as const;
  for (let batch = 0; batch < 20; batch += 1) expect(await retention.removeBatch(due, BATCH)).toBe(BATCH);
  const { rows } = await database.pool.query('SELECT min(id) AS oldest FROM run WHERE retention_days = 1');
  expect(rows).toEqual([{ oldest: idOf(RUNS / 5 + 20 * BATCH + 1) }]);
});

test('what is kept is measured by a sample, and the oldest are found without those that were removed', async () => {
  const retention = createRetentionStore(database.pool);
  const kept = await retention.measure(0);
  const { rows } = await database.pool.query(`
    SELECT (SELECT count(*)::int FROM run) AS runs,
      (SELECT sum(28 + pg_column_size(t) - 24) FROM task t)::int + (SELECT sum(28 + pg_column_size(e) - 24) FROM event e)::int
        + (SELECT sum(28 + pg_column_size(r) - 24) FROM run r)::int AS bytes`);
  const [exact] = rows;
  expect(kept?.endedRuns).toBeGreaterThan(0.9 * exact.runs);
  expect(kept?.endedRuns).toBeLessThan(1.1 * exact.runs);
  // A row as a whole is a little larger than its columns: these are aligned in it.
  expect(kept?.bytes).toBeGreaterThan(0.7 * exact.bytes);
  expect(kept?.bytes).toBeLessThan(1.1 * exact.bytes);
  const { rows: ends } = await database.pool.query(
    'SELECT finished_at FROM run ORDER BY finished_at OFFSET 499 LIMIT 1',
  );
  expect(await retention.endOfOldest(500)).toEqual(ends[0].finished_at);
});
