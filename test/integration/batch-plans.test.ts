/**
 * What a statement about two hundred runs reads beside a backlog of thousands, where statistics are from before that. Counted in rows
 * by the server: a plan that reads all of the backlog for each run is quadratic, and no test with few rows shows it.
 */
import type pg from 'pg';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { type Database, openDatabase } from '../../src/store/core/database.ts';
import { createSleepStore } from '../../src/store/recover/sleeping-runs.ts';
import { createRunStore } from '../../src/store/runs/run-store.ts';
import { createTaskStore } from '../../src/store/tasks/task-store.ts';
import { outcome } from '../harness/outcomes.ts';
import { createTestDatabase, type TestDatabase } from '../support/servers.ts';

const BACKLOG = 3_000;
const OF_BATCH = 200;
/** Of each table and run of the batch: its key may be looked up by several parts of a statement. */
const READ_OF_EACH = 4;

let place: TestDatabase;
let database: Database;
let pool: pg.Pool;
/** As the connections of a worker do. */
let plansOnce = true;

// A connection keeps its plans: each of the statements is planned anew.
beforeEach(async () => {
  database = openDatabase(place.url, { name: 'test', max: 1, plansOnce, onError: () => undefined });
  pool = database.everyTenant;
  const count = 'SELECT count(*)::int AS runs FROM run';
  if ((await pool.query<{ runs: number }>(count)).rows[0]?.runs !== 0) return () => database.close();
  for (const table of ['run', 'task']) await pool.query(`ALTER TABLE ${table} SET (autovacuum_enabled = false)`);
  // What statistics know: a few hundred runs, all of which have ended.
  await fill('old', 400, 'completed');
  await pool.query('VACUUM ANALYZE run, task');
  await fill('run', BACKLOG, 'queued');
  return () => database.close();
});

async function fill(name: string, runs: number, status: 'completed' | 'queued'): Promise<void> {
  const final = status === 'completed';
  await pool.query(
    `INSERT INTO run (id, tenant_id, user_id, inline, parameters, status, priority, trace_id, final)
     SELECT $1 || lpad(i::text, 6, '0'), 't', 'u', '{}', '{}', $3, 50, 't', $4 FROM generate_series(1, $2) i`,
    [name, runs, status, final],
  );
  await pool.query(
    `INSERT INTO task (run_id, action_id, action_type, epoch, attempt, ended_attempt, fence, deliveries, status, final)
     SELECT $1 || lpad(i::text, 6, '0'), 'waits', 'approval', 1, 1, 0, 1, 1, $3, $4 FROM generate_series(1, $2) i`,
    [name, runs, final ? 'completed' : 'waiting', final],
  );
}

/** Rows of runs and tasks that were read while that was done, by all connections of this database. */
async function rowsRead(work: () => Promise<unknown>): Promise<{ run: number; task: number }> {
  const counted = async () => {
    await pool.query('SELECT pg_stat_force_next_flush()');
    const { rows } = await pool.query<{ relname: 'run' | 'task'; read: number }>(
      `SELECT relname, (seq_tup_read + coalesce(idx_tup_fetch, 0))::int AS read FROM pg_stat_user_tables
       WHERE relname IN ('run', 'task') AND schemaname = current_schema()`,
    );
    return new Map(rows.map(({ relname, read }) => [relname, read]));
  };
  const before = await counted();
  await work();
  const after = await counted();
  const of = (table: 'run' | 'task') => (after.get(table) ?? 0) - (before.get(table) ?? 0);
  return { run: of('run'), task: of('task') };
}

const runIds = Array.from({ length: OF_BATCH }, (_, n) => `run${String(n * 7 + 1).padStart(6, '0')}`);
const outcomes = (values: Partial<Parameters<typeof outcome>[0]>) =>
  runIds.map((runId) => outcome({ runId, ...values }));

describe.each([
  { by: 'a worker', once: true },
  { by: 'an API', once: false },
])('a statement of $by about two hundred of thousands of runs reads rows of these alone', ({ once }) => {
  beforeAll(async () => {
    plansOnce = once;
    place = await createTestDatabase();
  });
  afterAll(() => place.drop());

  const statements: Array<[string, () => Promise<unknown>]> = [
    [
      'looking up',
      () => {
        const { lookup } = createTaskStore(pool);
        return Promise.all(runIds.map((runId) => lookup({ runId, actionIds: ['waits'], outputsOf: [] })));
      },
    ],
    [
      'showing as running',
      () => {
        const { markRunning } = createTaskStore(pool);
        return Promise.all(outcomes({}).map((one) => markRunning(one)));
      },
    ],
    [
      'committing outcomes that end nothing',
      async () => {
        const tasks = createTaskStore(pool);
        await Promise.all(outcomes({ actionId: 'b' }).map((one) => tasks.commit(one)));
        await tasks.drain();
      },
    ],
    [
      'marking as queued',
      () => {
        const { markQueued } = createRunStore(pool);
        return Promise.all(runIds.map((runId) => markQueued(runId)));
      },
    ],
    [
      'noting as asleep',
      () =>
        createSleepStore(pool).fallAsleep(
          runIds.map((id) => ({ run: { id, epoch: 1 }, until: undefined, forRun: false, checkAfterMs: 1_000 })),
        ),
    ],
    [
      'committing outcomes that end runs',
      () => {
        const tasks = createTaskStore(pool);
        return Promise.all(outcomes({ actionId: 'c', endsRun: true }).map((one) => tasks.commit(one)));
      },
    ],
  ];
  test.each(statements)('%s', async (_name, work) => {
    const read = await rowsRead(work);
    expect(read.run + read.task).toBeGreaterThan(0);
    expect(read.run).toBeLessThanOrEqual(OF_BATCH * READ_OF_EACH);
    expect(read.task).toBeLessThanOrEqual(OF_BATCH * READ_OF_EACH);
  });
});
