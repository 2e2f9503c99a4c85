import type pg from 'pg';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { RUNS_TO_CANCEL } from '../../src/features/erasure/store.ts';
import { countQueuedRuns } from '../../src/store/accept/tenant-quota.ts';
import { windowUse } from '../../src/store/accept/window.ts';
import { openDatabase } from '../../src/store/core/database.ts';
import { createReconcileStore } from '../../src/store/recover/reconcile-store.ts';
import { createRunStore } from '../../src/store/runs/run-store.ts';
import { newRun } from '../harness/outcomes.ts';
import { explain, PLANNED, pagesOf } from '../support/explain.ts';
import { type FenceDatabase, openFenceDatabase } from '../support/fence-database.ts';

let db: FenceDatabase;
beforeAll(async () => {
  db = await openFenceDatabase();
});
afterAll(() => db.close());

const LOOK = { window: 10_000, olderThanMs: 2_000, after: '', tenants: 1_000 };
const BACKLOG = 100_000;

/** Runs that wait since long ago. */
const insert = (tenant: string, count: number, columns = '', values = '') =>
  db.rows(
    `INSERT INTO run (id, tenant_id, user_id, inline, parameters, created_at${columns})
     SELECT $1 || '-' || lpad(n::text, 6, '0'), $1, 'u', '{"action_type":"test_task"}', '{}',
            now() - interval '1 hour' + n * interval '1 ms'${values}
     FROM generate_series(1, $2) AS n`,
    tenant,
    count,
  );

/** Pages of tables and indexes that the statement looks at, however it is planned. */
async function mostPagesRead(pool: pg.Pool, text: string, values: readonly unknown[]): Promise<number> {
  const client = await pool.connect();
  try {
    const pages: number[] = [];
    for (const planned of PLANNED) pages.push(pagesOf(await explain(client, planned, text, values)));
    return Math.max(...pages);
  } finally {
    client.release();
  }
}

test('with a hundred thousand runs of one tenant the next of each is found by looking at a few pages', async () => {
  await insert('many', BACKLOG);
  await insert('few', 1);
  await db.rows('ANALYZE run');
  // What waits of one tenant is counted as far as somebody asks, of that tenant alone.
  expect(await countQueuedRuns(db.pool, 'many', 50)).toBe(50);
  expect(await countQueuedRuns(db.pool, 'few', 50)).toBe(1);
  expect(await countQueuedRuns(db.pool, 'none', 50)).toBe(0);
  const sweep = createReconcileStore(db.pool);
  expect(await windowUse(db.pool, LOOK)).toMatchObject({ total: 0, waiting: ['few', 'many'] });

  // The statements as they are sent, with what they cost.
  const sent: Array<{ text: string; values: unknown[] }> = [];
  const spy = {
    query: async (query: { text: string; values: unknown[] }) => {
      sent.push(query);
      return db.pool.query(query);
    },
  };
  await windowUse(spy as never, LOOK); // Only `query` is asked of a pool.
  const taken = await createReconcileStore(spy as never).takePending(
    new Map([
      ['many', 10],
      ['few', 10],
    ]),
    2_000,
  );
  expect(taken.map(({ id }) => id).sort()).toEqual([
    'few-000001',
    ...Array.from({ length: 10 }, (_, n) => `many-${String(n + 1).padStart(6, '0')}`),
  ]);
  expect(taken.map(({ gen }) => gen)).toEqual(taken.map(() => 1));
  expect(sent).toHaveLength(2);
  for (const { text, values } of sent) {
    expect(await mostPagesRead(db.pool, text, values)).toBeLessThan(500);
  }
  await sweep.releaseDue();
});

test('as long as nobody is erased, no run is looked at for it', async () => {
  const open = await db.rows('SELECT count(*)::int AS runs FROM run WHERE NOT final');
  expect(open).toMatchObject([{ runs: BACKLOG + 1 }]);
  // With the settings of the program: they decide which plans there are.
  const { pool, close } = openDatabase(db.url, { name: 'test', max: 1, onError: () => undefined });
  const pages = await mostPagesRead(pool, RUNS_TO_CANCEL, [100]);
  await close();
  expect(pages).toBeLessThan(10);
});

test('with a hundred thousand runs that wait for one place it is given by looking at a few pages', async () => {
  const group = (key: string) => `, 'w', 1, '${key}', 1, true`;
  const columns = ', workflow_id, workflow_version, concurrency_key, concurrency_limit, waits_for_slot';
  await insert('grouped', BACKLOG, columns, group('long'));
  await insert('other', 2, columns, group('short'));
  await db.rows('ANALYZE run');
  const sent: Array<{ text: string; values: unknown[] }> = [];
  const query = async (asked: { text: string; values: unknown[] } | string) => {
    if (typeof asked !== 'string') sent.push(asked);
    return db.pool.query(asked as string); // Either is a query.
  };
  const spy = { query, connect: async () => ({ query, release: () => undefined }) };
  await createReconcileStore(spy as never).giveSlots(); // Only these are asked of a pool.
  const holders = () =>
    db.rows(
      `SELECT id FROM run WHERE concurrency_key IS NOT NULL AND waits_for_slot IS NULL AND NOT final ORDER BY id`,
    );
  expect(await holders()).toEqual([{ id: 'grouped-000001' }, { id: 'other-000001' }]);
  expect(sent).toHaveLength(3);
  for (const { text, values } of sent) {
    expect(await mostPagesRead(db.pool, text, values)).toBeLessThan(500);
  }
  // Nobody's end, nobody's place.
  await createReconcileStore(db.pool).giveSlots();
  expect(await holders()).toHaveLength(2);
  await db.rows(`UPDATE run SET final = true, status = 'completed' WHERE id = 'grouped-000001'`);
  await createReconcileStore(db.pool).giveSlots();
  expect(await holders()).toEqual([{ id: 'grouped-000002' }, { id: 'other-000001' }]);
});

test('of one tenant the most urgent priority goes first, then the earliest deadline, then the oldest', async () => {
  const sweep = createReconcileStore(db.pool);
  await insert('t', 6);
  const set = (n: number, what: string) => db.rows(`UPDATE run SET ${what} WHERE id = $1`, `t-00000${n}`);
  await set(6, 'priority = 1');
  await set(5, `deadline_at = now() + interval '1 hour'`);
  await set(4, `deadline_at = now() + interval '2 hours'`);
  await set(3, 'priority = 99');
  await set(2, 'waits_for_slot = true');
  const order: string[] = [];
  for (let n = 0; n < 6; n += 1) {
    const taken = await sweep.takePending(new Map([['t', 1]]), 2_000);
    for (const { id } of taken) {
      order.push(id);
      await db.runs.markQueued(id);
    }
  }
  expect(order).toEqual(['t-000006', 't-000005', 't-000004', 't-000001', 't-000003']);
});

test('a delayed run waits with the others once it is due, and shows in the use of the window when it is in the queue', async () => {
  const sweep = createReconcileStore(db.pool);
  await insert('later', 2, ', due_at', `, now() + (n - 2) * interval '1 hour' - interval '1 second'`);
  expect((await windowUse(db.pool, LOOK)).waiting).not.toContain('later');
  await db.rows(`UPDATE run SET due_at = now() + interval '1 hour' WHERE id = 'later-000002'`);
  await sweep.releaseDue();
  expect((await windowUse(db.pool, LOOK)).waiting).toContain('later');
  const taken = await sweep.takePending(new Map([['later', 10]]), 2_000);
  expect(taken.map(({ id }) => id)).toEqual(['later-000001']);
  await db.runs.markQueued('later-000001');
  const use = await windowUse(db.pool, LOOK);
  expect(use.inQueue.get('later')).toBe(1);
  expect(use.waiting).not.toContain('later');
});

test('tenants that wait are told a page at a time', async () => {
  const all = (await windowUse(db.pool, LOOK)).waiting;
  const first = (await windowUse(db.pool, { ...LOOK, tenants: 1 })).waiting;
  const rest = (await windowUse(db.pool, { ...LOOK, after: first[0] ?? '' })).waiting;
  expect(all.length).toBeGreaterThan(1);
  expect([...first, ...rest]).toEqual(all);
});

test('of many processes that accept at a time no two take the last place of a group', async () => {
  const stores = Array.from({ length: 8 }, () => createRunStore(db.pool));
  const places = [];
  for (let round = 0; round < 20; round += 1) {
    const concurrency = { key: `round-${round}`, limit: 2, policy: round % 2 === 0 ? 'queue' : 'reject' } as const;
    const stored = await Promise.all(
      stores.map((store, n) => store.accept({ ...newRun(`race-${round}-${n}`), concurrency })),
    );
    const placed = stored.filter(({ inserted, waits }) => inserted && waits !== true);
    const refused = stored.filter(({ full }) => full !== undefined);
    places.push([concurrency.policy, placed.length, refused.length]);
  }
  expect(places).toEqual(
    Array.from({ length: 10 }, () => [
      ['queue', 2, 0],
      ['reject', 2, 6],
    ]).flat(),
  );
});
