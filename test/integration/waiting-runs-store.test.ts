/** Runs that are `waiting`, in what counts and names runs that are under way: those that wait for another run are, those that sleep are not. */
import { afterAll, beforeAll, expect, test } from 'vitest';
import { createWhyStore } from '../../src/features/diagnosis/store.ts';
import { createBeatStore, createEngineHealthStore } from '../../src/store/health/engine-health.ts';
import { createMetricTotals } from '../../src/store/metric-totals.ts';
import { type FenceDatabase, openFenceDatabase } from '../support/fence-database.ts';

let db: FenceDatabase;
beforeAll(async () => {
  db = await openFenceDatabase();
  await put('running', `'running'`);
  await put('waits-for-run', `'waiting'`);
  await put('sleeps', `'waiting'`, { asleep: 'true' });
  await put('sleeps-apart', `'waiting'`, {
    asleep: 'true',
    left_queue: 'true',
    sleeps_until: `now() + interval '1 day'`,
  });
  await put('pending', `'pending'`);
});
afterAll(() => db.close());

/** A young run that nobody has to look at for an hour. */
async function put(id: string, status: string, more: Record<string, string> = {}): Promise<void> {
  const columns = { check_at: `now() + interval '1 hour'`, ...more };
  await db.rows(
    `INSERT INTO run (id, tenant_id, user_id, inline, parameters, status, ${Object.keys(columns).join(', ')})
     VALUES ('${id}', 't', 'u', '{"action_type":"test_task"}', '{}', ${status}, ${Object.values(columns).join(', ')})`,
  );
}

const PASS = { worker: 'w', durationMs: 1, dispatched: 0, checked: 0, repaired: 0 };

test('one that waits for another run is active, in the numbers and in the metrics, and one that sleeps is not', async () => {
  expect(await createEngineHealthStore(db.pool).facts(600, 20)).toMatchObject({ active: 2, queued: 1, stuck: 0 });
  expect(await createMetricTotals(db.pool).read()).toMatchObject({ activeRuns: 2 });
});

test('one that waits for another run is in the share of its tenant, as it is in the window', async () => {
  const why = createWhyStore(db.pool, db.pool);
  const pending = await why.run('t', 'pending');
  if (pending === undefined) throw new Error('the run is gone');
  expect(await why.window(pending, 10)).toMatchObject({ used: 2, ofTenant: 2 });
});

test.each(['waits-for-run', 'sleeps'])('the sweep is late when %s is overdue', async (id) => {
  const beats = createBeatStore(db.pool);
  expect(await beats.recordPass(PASS)).toBe(0);
  await db.rows(`UPDATE run SET check_at = now() - interval '2 minutes' WHERE id = $1`, id);
  expect(await beats.recordPass(PASS)).toBeGreaterThanOrEqual(60_000);
  await db.rows(`UPDATE run SET check_at = now() + interval '1 hour' WHERE id = $1`, id);
});

test.each([
  ['one that waits for a run, and none of whose tasks does', 'waits-for-run', `created_at = now() - interval '1 day'`],
  ['one that should have woken long ago', 'sleeps-apart', `sleeps_until = now() - interval '1 hour'`],
])('%s is stuck', async (_, id, change) => {
  const health = createEngineHealthStore(db.pool);
  const [before] = await db.rows('SELECT created_at, sleeps_until FROM run WHERE id = $1', id);
  await db.rows(`UPDATE run SET ${change} WHERE id = $1`, id);
  expect(await health.facts(600, 20)).toMatchObject({ stuck: 1 });
  await db.rows(
    'UPDATE run SET created_at = $2, sleeps_until = $3 WHERE id = $1',
    id,
    before?.['created_at'],
    before?.['sleeps_until'],
  );
});
