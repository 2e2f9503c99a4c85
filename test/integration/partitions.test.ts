/** The history lies in weeks: they are made ahead, dropped with the runs that were accepted in them, and nothing else is lost. */
import { v7 as uuidv7 } from 'uuid';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { schemaDrift } from '../../scripts/schema-drift.ts';
import type { HistoryStore } from '../../src/engine/recover/keep-history.ts';
import type { Due } from '../../src/engine/recover/remove-old-runs.ts';
import { createHistoryStore } from '../../src/store/migrations/partitions.ts';
import { createRetentionStore } from '../../src/store/recover/retention.ts';
import { newRun } from '../harness/outcomes.ts';
import { type FenceDatabase, openFenceDatabase } from '../support/fence-database.ts';

/** Three weeks that begin on Thursdays, as UNIX time does. */
const LONG_AGO = Date.UTC(2026, 0, 1, 12);
const WEEKS = ['20260101', '20260108', '20260115'];
const DAY = 24 * 3600 * 1000;

let db: FenceDatabase;
let history: HistoryStore;
beforeEach(async () => {
  db = await openFenceDatabase();
  history = createHistoryStore(db.pool);
});
afterEach(() => db.close());

const names = (table: string, weeks = WEEKS) => weeks.map((week) => `${table}_${week}`);
const both = (weeks = WEEKS) => [...names('attempt', weeks), ...names('event', weeks)];

async function ended(acceptedAt: number | string): Promise<string> {
  const id = typeof acceptedAt === 'string' ? acceptedAt : uuidv7({ msecs: acceptedAt });
  const { id: runId } = await db.runs.accept(newRun(id));
  await db.commit({ runId, endsRun: true });
  return runId;
}

async function finishedLongAgo(...runIds: string[]): Promise<void> {
  await db.rows(`UPDATE run SET finished_at = now() - interval '1 year' WHERE id = ANY($1)`, runIds);
}

async function placesOf(runId: string): Promise<string[]> {
  const found = await db.rows<{ place: string }>(
    `SELECT tableoid::regclass::text AS place FROM attempt WHERE run_id = $1
     UNION ALL SELECT DISTINCT tableoid::regclass::text FROM event WHERE run_id = $1`,
    runId,
  );
  return found.map(({ place }) => place);
}

const remove = (due: Due = { by: 'setting', days: 7, history: 'with_week' }) =>
  createRetentionStore(db.pool).removeBatch(due, 100);

test('the present week and the next two are made, by one process, once, and schema.prisma knows nothing of them', async () => {
  const made = await Promise.all([1, 2, 3].map(() => history.makeWeeks(LONG_AGO)));
  await history.makeWeeks(LONG_AGO);
  expect(made.flat().length).toBe(new Set(made.flat()).size);
  const there = await db.rows<{ name: string }>(
    `SELECT inhrelid::regclass::text AS name FROM pg_inherits
     WHERE inhparent IN ('attempt'::regclass, 'event'::regclass) AND inhrelid::regclass::text = ANY($1) ORDER BY 1`,
    both(),
  );
  expect(there.map(({ name }) => name)).toEqual(both());
  expect(await history.makeWeeks(LONG_AGO)).toEqual([]);
  expect(await schemaDrift(db.url)).toBe('');
});

test('what is written lies in the week in which its run was accepted, to the millisecond; the rest in the default partition', async () => {
  await history.makeWeeks(LONG_AGO);
  const second = Date.UTC(2026, 0, 8);
  const cases: Array<[number | string, string]> = [
    [second - 1, WEEKS[0] ?? ''],
    [second, WEEKS[1] ?? ''],
    [second + 7 * DAY - 1, WEEKS[1] ?? ''],
    [second + 30 * DAY, 'default'],
    ['an id of another kind', 'default'],
  ];
  for (const [at, place] of cases) expect(await placesOf(await ended(at)), String(at)).toEqual(both([place]));
});

test('runs of this moment find their week made by the migrations', async () => {
  expect((await placesOf(await ended(Date.now()))).every((place) => /_\d{8}$/.test(place))).toBe(true);
});

test('a week goes when its runs were removed; rows of runs that are still there move, and go with them later', async () => {
  await history.makeWeeks(LONG_AGO);
  const [gone, alive, young] = [await ended(LONG_AGO), await ended(LONG_AGO + 1), await ended(LONG_AGO + 8 * DAY)];
  await finishedLongAgo(gone, young);
  expect(await remove()).toBe(2);
  expect(await placesOf(gone)).toEqual(both(WEEKS.slice(0, 1)));

  expect(await history.dropWeeks(Date.UTC(2026, 0, 8) - 1)).toEqual([]);
  expect(await history.dropWeeks(Date.UTC(2026, 0, 8))).toEqual(both(WEEKS.slice(0, 1)));
  expect(await placesOf(gone)).toEqual([]);
  expect(await placesOf(alive)).toEqual(both(['default']));
  expect(await db.kinds(alive)).toEqual(['task.completed', 'run.completed']);
  expect(await db.attempts(alive)).toEqual(['a 1 completed']);
  expect(await placesOf(young)).toEqual(both(WEEKS.slice(1, 2)));

  await finishedLongAgo(alive);
  expect(await remove()).toBe(1);
  expect(await placesOf(alive)).toEqual([]);
});

test('a week of which much is still there stays', async () => {
  await history.makeWeeks(LONG_AGO);
  const run = await ended(LONG_AGO);
  await db.rows(
    `INSERT INTO event (run_id, epoch, kind) SELECT $1, 1, 'task.retrying' FROM generate_series(1, 5001)`,
    run,
  );
  expect(await history.dropWeeks(LONG_AGO + 7 * DAY)).toEqual(names('attempt', WEEKS.slice(0, 1)));
  expect((await db.kinds(run)).length).toBe(5003);
});

test('the history of a run with days of its own goes at once, and a week with it when nothing is left', async () => {
  await history.makeWeeks(LONG_AGO);
  const [gone, other] = [await ended(LONG_AGO), await ended(LONG_AGO + 8 * DAY)];
  await db.rows('UPDATE run SET retention_days = 1 WHERE id = $1', gone);
  await finishedLongAgo(gone, other);
  expect(await remove({ by: 'own_days' })).toBe(1);
  expect(await placesOf(gone)).toEqual([]);

  expect(await history.dropRemovedWeeks(Date.UTC(2026, 0, 8) - 1)).toEqual([]);
  // What is left of the second week is all there ever was, and stays where it is.
  expect(await history.dropRemovedWeeks(Date.UTC(2026, 0, 15))).toEqual(both(WEEKS.slice(0, 1)));
  expect(await placesOf(other)).toEqual(both(WEEKS.slice(1, 2)));
});

test('a week of which nearly all was removed goes before the days of the setting, and the rest of it moves', async () => {
  await history.makeWeeks(LONG_AGO);
  const [alive, gone] = [await ended(LONG_AGO), await ended(LONG_AGO + 1)];
  await db.rows(
    `INSERT INTO event (run_id, epoch, kind) SELECT $1, 1, 'task.retrying' FROM generate_series(1, 3000)`,
    gone,
  );
  expect(await history.dropRemovedWeeks(LONG_AGO + 7 * DAY)).toEqual([]);
  await db.rows('UPDATE run SET retention_days = 1 WHERE id = $1', gone);
  await finishedLongAgo(gone);
  expect(await remove({ by: 'own_days' })).toBe(1);
  expect(await history.dropRemovedWeeks(LONG_AGO + 7 * DAY)).toEqual(names('event', WEEKS.slice(0, 1)));
  expect(await db.kinds(alive)).toEqual(['task.completed', 'run.completed']);
});

test('while some runs stay for longer than the setting says, the history of others goes with them', async () => {
  await history.makeWeeks(LONG_AGO);
  const [other, longer] = [await ended(LONG_AGO), await ended(LONG_AGO + 1)];
  await finishedLongAgo(other);
  await db.rows('UPDATE run SET retention_days = 30 WHERE id = $1', longer);
  expect(await remove()).toBe(1);
  expect(await placesOf(other)).toEqual([]);
  expect(await placesOf(longer)).toEqual(both(WEEKS.slice(0, 1)));
});

test('a table that is in use is left alone, and writers do not wait behind the attempt', async () => {
  await history.makeWeeks(LONG_AGO);
  const holder = await db.pool.connect();
  try {
    await holder.query('BEGIN; SELECT 1 FROM event LIMIT 1');
    const dropping = history.dropWeeks(LONG_AGO + 7 * DAY);
    await ended(LONG_AGO);
    expect(await dropping).toEqual(names('attempt', WEEKS.slice(0, 1)));
    await holder.query('COMMIT');
  } finally {
    holder.release();
  }
  expect(await history.dropWeeks(LONG_AGO + 7 * DAY)).toEqual(names('event', WEEKS.slice(0, 1)));
});

test('a week that nobody made in time stays in the default partition, and the next ones are made', async () => {
  const run = await ended(LONG_AGO);
  expect(await placesOf(run)).toEqual(both(['default']));
  expect(await history.makeWeeks(LONG_AGO)).toEqual(both(WEEKS.slice(1)));
  expect(await placesOf(await ended(LONG_AGO))).toEqual(both(['default']));
  await finishedLongAgo(run);
  expect(await remove()).toBe(1);
  expect(await placesOf(run)).toEqual([]);
});
