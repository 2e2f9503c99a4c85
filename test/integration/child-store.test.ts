/** Child runs in the statements that begin them: one for each attempt, and none once the parent is ending. */
import { afterAll, beforeAll, expect, test } from 'vitest';
import type { ChildStore } from '../../src/engine/ports/children.ts';
import { createChildStore } from '../../src/store/runs/child-runs.ts';
import { createPauseStore } from '../../src/store/runs/pause-runs.ts';
import { createRetryStore } from '../../src/store/runs/reopen-run.ts';
import { newRun } from '../harness/outcomes.ts';
import { type FenceDatabase, openFenceDatabase } from '../support/fence-database.ts';

let db: FenceDatabase;
let children: ChildStore;
beforeAll(async () => {
  db = await openFenceDatabase();
  children = createChildStore(db.pool);
});
afterAll(() => db.close());

let made = 0;
const insert = (runId: string, more: { attempt?: number; epoch?: number; depth?: number; awaited?: boolean } = {}) => {
  made += 1;
  const parent = { runId, epoch: 1, actionId: 'a', attempt: 1, awaited: true, depth: 1, ...more };
  return children.insert(newRun(`child-${made}`), parent);
};

test('of many deliveries of one attempt one begins a run, and the others find it', async () => {
  const parent = await db.accepted();
  const stored = await Promise.all(Array.from({ length: 10 }, () => insert(parent)));
  expect(stored.filter((row) => row?.inserted === true)).toHaveLength(1);
  expect(new Set(stored.map((row) => row?.id)).size).toBe(1);
  const second = await insert(parent, { attempt: 2 });
  expect(second).toMatchObject({ inserted: true });
  expect(await children.find({ runId: parent, actionId: 'a' })).toMatchObject({ id: second?.id, attempt: 2 });
  expect(await children.parentOf(second?.id ?? '')).toEqual({ runId: parent, epoch: 1, actionId: 'a' });
  expect((await children.lineage(second?.id ?? '', 9)).map(({ runId }) => runId)).toEqual([second?.id, parent]);
});

test('a parent that is cancelling, or in another epoch, begins and goes on with nothing', async () => {
  const parent = await db.accepted();
  const child = await insert(parent);
  expect(await insert(parent, { epoch: 2 })).toBeUndefined();
  await db.runs.requestCancel('t', parent, undefined, 'u');
  expect(await insert(parent, { attempt: 2 })).toBeUndefined();
  expect(await children.openOf(parent)).toEqual([child?.id]);
  expect(await children.openOf(parent, 'b')).toEqual([]);
  await db.pool.query(`UPDATE run SET final = true, status = 'failed' WHERE id = $1`, [child?.id]);
  const childOf = { runId: parent, epoch: 1, actionId: 'a', attempt: 2 };
  const retry = {
    runId: child?.id ?? '',
    epoch: 1,
    from: ['failed' as const],
    actionIds: [],
    afterSeconds: 0,
    by: 'u',
  };
  expect(await createRetryStore(db.pool).reopen({ ...retry, childOf })).toBeUndefined();
  expect(await db.run(child?.id ?? '')).toMatchObject({ status: 'failed', epoch: 1, parent_attempt: 1 });
});

test('a run that is replaced has begun when it waits for a child run, whether its task has a row yet or not', async () => {
  const place = { key: 'k', limit: 1, policy: 'replace' as const };
  await db.runs.accept({ ...newRun('replaced-1'), concurrency: place });
  await insert('replaced-1');
  const second = await db.runs.accept({ ...newRun('replaced-2'), concurrency: place });
  expect(second.replaced).toMatchObject([{ id: 'replaced-1', notStarted: false }]);
  const third = await db.runs.accept({ ...newRun('replaced-3'), concurrency: place });
  expect(third.replaced).toMatchObject([{ id: 'replaced-2', notStarted: true }]);
});

test('whoever cancels the parent while a child is inserted waits, and then sees it', async () => {
  const parent = await db.accepted();
  const inserting = await db.pool.connect();
  try {
    // As the statement does that inserts.
    await inserting.query('BEGIN');
    await inserting.query('SELECT 1 FROM run WHERE id = $1 FOR SHARE', [parent]);
    const cancelled = db.runs.requestCancel('t', parent, undefined, 'u').then(() => 'cancelled');
    expect(await Promise.race([cancelled, new Promise((resolve) => setTimeout(resolve, 200, 'waits'))])).toBe('waits');
    // Share locks go together, so items of a fan-out do not wait for each other.
    await insert(parent);
    await inserting.query('COMMIT');
    expect(await cancelled).toBe('cancelled');
  } finally {
    inserting.release();
  }
  expect(await children.openOf(parent)).toHaveLength(1);
});

test('whoever begins a child while the parent is being cancelled waits, and then begins none', async () => {
  const parent = await db.accepted();
  const cancelling = await db.pool.connect();
  try {
    await cancelling.query('BEGIN');
    await cancelling.query(`UPDATE run SET status = 'cancelling' WHERE id = $1`, [parent]);
    const inserted = insert(parent).then((row) => row ?? 'none');
    expect(await Promise.race([inserted, new Promise((resolve) => setTimeout(resolve, 200, 'waits'))])).toBe('waits');
    await cancelling.query('COMMIT');
    expect(await inserted).toBe('none');
  } finally {
    cancelling.release();
  }
  expect(await children.openOf(parent)).toEqual([]);
});

test('what is begun or goes on below a paused run is paused with it, unless nobody waits for it', async () => {
  const by = (runId: string) => ({ runId, tenantId: 't', by: 'u' });
  const pauses = createPauseStore(db.pool);
  const parent = await db.accepted();
  const early = await insert(parent, { attempt: 1 });
  await db.pool.query(`UPDATE run SET final = true, status = 'failed' WHERE id = $1`, [early?.id]);
  expect(await pauses.pause(by(parent), 'audit')).toEqual({ was: 'pending', changed: true });
  const child = await insert(parent, { attempt: 2 });
  expect(child).toMatchObject({ inserted: true, status: 'paused', waits: true });
  const grandchild = await insert(child?.id ?? '', { depth: 2 });
  const alone = await insert(parent, { attempt: 3, awaited: false });
  expect(alone).toMatchObject({ inserted: true, status: 'pending' });
  const retry = { epoch: 1, from: ['failed' as const], actionIds: [], afterSeconds: 0, by: 'u' };
  await createRetryStore(db.pool).reopen({ ...retry, runId: early?.id ?? '' });
  const below = [early?.id ?? '', child?.id ?? '', grandchild?.id ?? ''].sort();
  for (const id of below) expect(await db.run(id)).toMatchObject({ status: 'paused', paused_with_parent: true });
  const told = `SELECT data FROM event WHERE run_id = $1 AND kind = 'run.paused'`;
  expect(await db.rows(told, grandchild?.id)).toEqual([{ data: { by: 'u', reason: 'audit', with: child?.id } }]);
  const resumed = await pauses.resume(by(parent), undefined);
  expect({ ...resumed, goOn: [...(resumed?.goOn ?? [])].sort() }).toEqual({
    ...{ was: 'paused', changed: true, status: 'pending' },
    goOn: [parent, ...below].sort(),
  });
  for (const id of below) expect(await db.run(id)).toMatchObject({ status: 'pending', paused_with_parent: null });
});

test('many are paused and resumed together, with all below them; one that stands below another is left to be done alone', async () => {
  const pauses = createPauseStore(db.pool);
  const [one, two, ended, foreign] = await Promise.all(Array.from({ length: 4 }, () => db.accepted()));
  if (one === undefined || two === undefined || ended === undefined || foreign === undefined)
    throw new Error('no runs');
  const child = (await insert(one))?.id ?? '';
  await db.pool.query(`UPDATE run SET final = true, status = 'failed' WHERE id = $1`, [ended]);
  await db.pool.query(`UPDATE run SET tenant_id = 'another' WHERE id = $1`, [foreign]);
  const all = { runIds: [two, child, one, ended, foreign], tenantId: 't', by: 'u' };
  const paused = await pauses.pauseAll(all, 'audit');
  expect({ ...paused, changed: [...paused.changed].sort() }).toEqual({
    changed: [one, two].sort(),
    left: [child, foreign],
  });
  const states = async () => {
    const rows = await Promise.all([one, two, child, ended, foreign].map((id) => db.run(id)));
    return rows.map((row) => [row?.['status'], row?.['paused_with_parent']]);
  };
  expect(await states()).toEqual([
    ['paused', null],
    ['paused', null],
    ['paused', true],
    ['failed', null],
    ['pending', null],
  ]);
  const told = `SELECT run_id, kind, data FROM event WHERE kind LIKE 'run.%ed' AND run_id = ANY ($1) ORDER BY id`;
  const events = await db.rows<{ run_id: string; kind: string; data: unknown }>(told, [one, two, child]);
  const of = (runId: string) => events.filter(({ run_id, kind }) => run_id === runId && kind === 'run.paused');
  expect(of(two)).toMatchObject([{ data: { by: 'u', reason: 'audit' } }]);
  expect(of(child)).toMatchObject([{ data: { by: 'u', reason: 'audit', with: one } }]);
  expect((await pauses.pauseAll(all, 'again')).changed).toEqual([]);
  const resumed = await pauses.resumeAll(all, undefined);
  expect([...resumed.changed].sort()).toEqual([one, two].sort());
  expect([...resumed.goOn].sort()).toEqual([one, two, child].sort());
  expect(await states()).toMatchObject([
    ['pending', null],
    ['pending', null],
    ['pending', null],
    ['failed', null],
    ['pending', null],
  ]);
});

test('whoever pauses the parent while a child is inserted waits, and then pauses it too', async () => {
  const parent = await db.accepted();
  const inserting = await db.pool.connect();
  let child: { id: string } | undefined;
  try {
    await inserting.query('BEGIN');
    await inserting.query('SELECT 1 FROM run WHERE id = $1 FOR SHARE', [parent]);
    const paused = createPauseStore(db.pool)
      .pause({ runId: parent, tenantId: 't', by: 'u' }, undefined)
      .then(() => 'paused');
    expect(await Promise.race([paused, new Promise((resolve) => setTimeout(resolve, 200, 'waits'))])).toBe('waits');
    child = await insert(parent);
    await inserting.query('COMMIT');
    expect(await paused).toBe('paused');
  } finally {
    inserting.release();
  }
  expect(await db.run(child?.id ?? '')).toMatchObject({ status: 'paused', paused_with_parent: true });
});

test('each depth has a window of its own', async () => {
  const parent = await db.accepted();
  for (let attempt = 11; attempt <= 14; attempt += 1) await insert(parent, { attempt, depth: 41 });
  const below = await insert(parent, { attempt: 15, depth: 42 });
  await db.pool.query(`UPDATE run SET status = 'running' WHERE depth = 41 AND parent_attempt < 13`);
  const full = await children.takePending(2, 100, 0);
  expect(full.filter(({ id }) => id === below?.id)).toHaveLength(1);
  const ofLevel = async () =>
    (await db.rows<{ gen: number }>('SELECT gen FROM run WHERE depth = 41 ORDER BY parent_attempt')).map(
      ({ gen }) => gen,
    );
  expect(await ofLevel()).toEqual([0, 0, 0, 0]);
  await children.takePending(3, 100, 0);
  expect(await ofLevel()).toEqual([0, 0, 1, 0]);
  expect(await children.countAtDepth(41, 10)).toBe(2);
});

test('tenants take turns in the window of a depth: one that has many waiting there does not keep another out', async () => {
  const parent = await db.accepted();
  const fair = createChildStore(db.pool, new Map([['heavy', 2]]));
  const waits = async (tenantId: string, count: number) => {
    for (let n = 0; n < count; n += 1) {
      made += 1;
      const place = { runId: parent, epoch: 1, actionId: `${tenantId}[${n}]`, attempt: 1, awaited: true, depth: 51 };
      await children.insert({ ...newRun(`turn-${made}`), tenantId }, place);
    }
  };
  // All of one tenant's are older.
  await waits('many', 40);
  await waits('few', 2);
  await waits('heavy', 9);
  const take = async (window: number) => {
    const taken = (await fair.takePending(window, 100, 0)).filter(({ id }) => id.startsWith('turn-'));
    await db.pool.query(`UPDATE run SET status = 'running' WHERE id = ANY($1)`, [taken.map(({ id }) => id)]);
    return taken.map(({ tenantId }) => tenantId).sort();
  };
  expect(await take(4)).toEqual(['few', 'heavy', 'heavy', 'many']);
  // By what each has there already, and not anew with every look.
  expect(await take(5)).toHaveLength(1);
  expect(await take(8)).toHaveLength(3);
  const inQueue = await db.rows(
    `SELECT tenant_id, count(*)::int AS runs FROM run WHERE depth = 51 AND status = 'running' GROUP BY 1 ORDER BY 1`,
  );
  expect(inQueue).toEqual([
    { tenant_id: 'few', runs: 2 },
    { tenant_id: 'heavy', runs: 4 },
    { tenant_id: 'many', runs: 2 },
  ]);
  expect(await take(51)).toHaveLength(43);
});
