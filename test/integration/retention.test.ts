/** Retention: old runs go with everything that is kept of them, and nothing else does. */
import { randomBytes } from 'node:crypto';
import type pg from 'pg';
import { afterAll, beforeAll, describe, expect, test as plain } from 'vitest';
import { createSizeRetention } from '../../src/engine/recover/remove-old-runs.ts';
import { createRetentionStore } from '../../src/store/recover/retention.ts';
import { accepted, field, list } from '../harness/client/client.ts';
import { createTestLog } from '../harness/test-log.ts';
import { until } from '../harness/until.ts';
import { expectProblem } from '../support/expect-answers.ts';
import { type FenceDatabase, openFenceDatabase } from '../support/fence-database.ts';
import { onBothBackends } from '../support/fixtures.ts';
import type { Stack } from '../support/stack.ts';
import { echo, failing, workflow } from '../support/test-task.ts';

/** Attempts and events go with their week: partitions.test.ts. */
const TABLES = ['task', 'late_effect', 'external_task', 'task_report', 'task_chunk'];

const endedAgo = (db: pg.Pool, ago: string, ...runs: string[]) =>
  db.query('UPDATE run SET finished_at = now() - $2::interval WHERE id = ANY ($1)', [runs, ago]);
/** Passes that were over and had removed something. */
const removals = ({ log }: Stack) => log.lines.filter(({ event }) => event === 'old_runs_removed').length;

const DAY = { RETENTION_DAYS: '1' };

describe.each(onBothBackends({ worker: DAY }))('retention on $backend', ({ test }) => {
  test('runs that ended long ago are removed whole, and their idempotency keys are free again', async ({ api, db }) => {
    const id = await api.createWorkflow(
      workflow([echo('a', [], { report_steps: 1, stream_chunks: ['x'] }), failing('b', ['a'])]),
    );
    const key = { 'idempotency-key': 'once' };
    const old = await api.execute(id, {}, key);
    const young = await api.execute(id);
    await api.ended(old);
    await api.ended(young);
    await db.query(
      `INSERT INTO late_effect (run_id, action_id, epoch, attempt) VALUES ($1, 'a', 1, 1), ($2, 'a', 1, 1)`,
      [old, young],
    );
    await db.query(
      `INSERT INTO external_task (id, run_id, action_id, epoch, attempt, tenant_id, topic, priority, input, status, deadline_at)
       SELECT run, run, 'a', 1, 1, 'default', 'topic', 50, 'null', 'completed', now() FROM unnest($1::text[]) AS run`,
      [[old, young]],
    );
    expect(field(accepted(await api.post(`/workflows/${id}/execute`, {}, key), 202), 'execution_id')).toBe(old);
    await db.query(`UPDATE run SET finished_at = now() - interval '25 hours' WHERE id = $1`, [old]);

    await until(async () => (await api.get(`/workflows/executions/${old}`)).status === 404);
    expectProblem(await api.get(`/result/${old}`), 404, 'not_found');
    for (const table of TABLES) {
      const count = async (run: string) => (await db.query(`SELECT 1 FROM ${table} WHERE run_id = $1`, [run])).rowCount;
      expect(await count(old), table).toBe(0);
      expect(await count(young), table).toBeGreaterThan(0);
    }
    expect(await api.execution(young)).toMatchObject({ status: 'failed' });
    const again = await api.execute(id, {}, key);
    expect(again).not.toBe(old);
    await api.ended(again);
  });
});

/** A worker looks at its start for what is old, and only ten seconds later again. */
describe.each(onBothBackends({ worker: DAY }))('retention_days on $backend', ({ test }) => {
  test('longer than the setting keeps the executions of a workflow for longer', async ({ api, db, stack }) => {
    const kept = await api.createWorkflow(workflow([echo('a')], { retention_days: 30 }));
    const runs = [await api.execute(kept), await api.execute(await api.createWorkflow(workflow([echo('a')])))];
    await Promise.all(runs.map((run) => api.ended(run)));
    await endedAgo(db, '25 hours', ...runs);
    await stack.add('worker', DAY);
    await until(async () => (await api.get(`/result/${runs[1]}`)).status === 404);
    await until(() => removals(stack) > 0);
    expect(await api.execution(runs[0] ?? '')).toMatchObject({ status: 'completed' });
    await endedAgo(db, '31 days', runs[0] ?? '');
    await stack.add('worker', DAY);
    await until(async () => (await api.get(`/result/${runs[0]}`)).status === 404);
  });
});

describe.each(onBothBackends())('retention_days alone on $backend', ({ test }) => {
  test('is removal after so many days where all other executions are kept', async ({ api, db, stack }) => {
    const short = await api.createWorkflow(workflow([echo('a')], { retention_days: 1 }));
    const old = await api.execute(short);
    const young = await api.execute(short);
    const other = await api.execute(await api.createWorkflow(workflow([echo('a')])));
    const all = [old, young, other];
    await Promise.all(all.map((run) => api.ended(run)));
    await endedAgo(db, '25 hours', old, other);
    await endedAgo(db, '23 hours', young);
    await stack.add('worker');
    await until(async () => (await api.get(`/result/${old}`)).status === 404);
    await until(() => removals(stack) > 0);
    for (const run of [young, other]) expect(await api.execution(run)).toMatchObject({ status: 'completed' });
    // Nothing else of that week may ever go.
    for (const table of ['task', 'attempt', 'event'])
      expect((await db.query(`SELECT FROM ${table} WHERE run_id = $1`, [old])).rowCount, table).toBe(0);
  });

  test('is that of the version with which an execution was accepted, however it was begun', async ({ api, db }) => {
    const definition = workflow([echo('a')], { name: 'short', retention_days: 2 });
    const id = await api.createWorkflow(definition);
    const once = { key: '{{params.n}}', window_seconds: 60 };
    const parameters = [{ name: 'n', type: 'integer', default: 1 }];
    const unique = await api.createWorkflow(workflow([echo('a')], { retention_days: 2, dedupe: once, parameters }));
    const parent = await api.createWorkflow(
      workflow([{ action_id: 'sub', action_type: 'workflow', config: { workflow_id: id } }]),
    );
    const many = accepted(await api.post(`/workflows/${id}/executions`, { items: [{}, {}] }), 202);
    const items = list(many).map((item) => String(item['execution_id']));
    const above = await api.execute(parent);
    const begun = [
      await api.execute(id),
      ...items,
      await api.execute(unique),
      await api.assign({ task_type: 'short' }),
    ];
    await Promise.all([...begun, above].map((run) => api.ended(run)));
    const children = await db.query('SELECT id FROM run WHERE parent_run_id = $1', [above]);
    const daysOf = async (runs: string[]) => {
      const { rows } = await db.query('SELECT retention_days FROM run WHERE id = ANY ($1)', [runs]);
      return rows.map((row) => row.retention_days);
    };
    expect(await daysOf([...begun, ...children.rows.map((row) => row.id)])).toEqual([2, 2, 2, 2, 2, 2]);

    expect(accepted(await api.get(`/workflows/${id}`), 200).body).toMatchObject({ retention_days: 2 });
    accepted(await api.put(`/workflows/${id}`, { retention_days: 5 }), 200);
    expect(accepted(await api.get(`/workflows/${id}`), 200).body).toMatchObject({ version: 2, retention_days: 5 });
    expect(accepted(await api.get(`/workflows/${id}?version=1`), 200).body).toMatchObject({ retention_days: 2 });
    const later = await api.execute(id);
    accepted(await api.put(`/workflows/${id}`, { retention_days: null }), 200);
    const last = await api.execute(id);
    await Promise.all([later, last].map((run) => api.ended(run)));
    expect(await daysOf([later])).toEqual([5]);
    expect(await daysOf([last, above])).toEqual([null, null]);
    expect(await daysOf(begun)).toEqual([2, 2, 2, 2, 2]);
  });

  test('is a whole number of days', async ({ api }) => {
    for (const days of [0, -1, 1.5, 36_501, '7']) {
      const answer = await api.post('/workflows', workflow([echo('a')], { retention_days: days }));
      expectProblem(answer, 400, 'invalid_request');
      expect(answer.body).toMatchObject({ errors: [{ path: 'retention_days' }] });
    }
  });
});

/** What does not shrink: of each execution 20 KB are kept at least twice. */
const LARGE = 20_000;
const LIMIT = 400_000;

describe.each(onBothBackends({ worker: { RETENTION_BYTES: String(LIMIT) } }))(
  'retention by bytes on $backend',
  ({ test }) => {
    test('the oldest that ended are removed, until what is left takes no more', async ({ api, db, stack }) => {
      const id = await api.createWorkflow(
        workflow([echo('a', [], { large: '{{params.large}}' })], {
          retention_days: 30,
          parameters: [{ name: 'large', type: 'string' }],
        }),
      );
      const runs: string[] = [];
      for (let run = 0; run < 20; run += 1) {
        runs.push(await api.execute(id, { parameters: { large: randomBytes(LARGE / 2).toString('hex') } }));
        await api.ended(runs.at(-1) ?? '');
      }
      await stack.add('worker', { RETENTION_BYTES: String(LIMIT) });
      const isGone = async (run: string) => (await api.get(`/result/${run}`)).status === 404;
      await until(() => isGone(runs[0] ?? ''));
      const retention = createRetentionStore(db);
      const bytes = () => retention.measure(0).then((kept) => kept?.bytes ?? Number.POSITIVE_INFINITY);
      // Rarely: while it is measured here, no worker removes anything.
      await until(async () => (await bytes()) <= LIMIT, { everyMs: 2_000 });
      const gone = await Promise.all(runs.map(isGone));
      expect(gone, 'the oldest').toEqual([...gone].sort((one, other) => Number(other) - Number(one)));
      expect(gone.at(-1)).toBe(false);
      // One more of that size would have been too much, or nearly: no more was removed than had to go.
      const left = gone.filter((each) => !each).length;
      expect(((await bytes()) / left) * (left + 2)).toBeGreaterThan(LIMIT);
      const { rows } = await db.query('SELECT count(*)::int AS orphans FROM event WHERE run_id = ANY ($1)', [
        runs.filter((_, index) => gone[index]),
      ]);
      expect(rows).toEqual([{ orphans: 0 }]);
    });
  },
);

describe('a batch', () => {
  let db: FenceDatabase;
  beforeAll(async () => {
    db = await openFenceDatabase();
  });
  afterAll(() => db.close());

  const ended = async (daysAgo: number) => {
    const runId = await db.accepted();
    await db.commit({ runId, endsRun: true });
    await db.rows(`UPDATE run SET finished_at = now() - make_interval(days => $2) WHERE id = $1`, runId, daysAgo);
    return runId;
  };
  const due = { by: 'setting', days: 7, history: 'with_week' } as const;
  const remove = (limit = 100) => createRetentionStore(db.pool).removeBatch(due, limit);

  plain('has the oldest first, and no more than it may', async () => {
    const runs = [await ended(9), await ended(10), await ended(8), await ended(6)];
    expect(await remove(1)).toBe(1);
    expect(await db.run(runs[1] ?? '')).toBeUndefined();
    expect(await remove()).toBe(2);
    expect(await remove()).toBe(0);
    expect(await db.run(runs[3] ?? '')).toBeDefined();
  });

  plain('leaves what is alive, what has a callback to make, and what somebody has locked', async () => {
    const alive = await db.accepted();
    await db.rows(`UPDATE run SET created_at = now() - interval '1 year' WHERE id = $1`, alive);
    const callback = await ended(30);
    await db.rows(`UPDATE run SET callback_url = 'http://x.test/' WHERE id = $1`, callback);
    await db.rows(
      `INSERT INTO webhook_delivery (id, tenant_id, kind, run_id, epoch, url, host) SELECT id || '.' || epoch, tenant_id, 'callback', id, epoch, callback_url, 'x.test' FROM run WHERE id = $1`,
      callback,
    );
    const locked = await ended(30);
    const client = await db.pool.connect();
    try {
      await client.query('BEGIN');
      await client.query('SELECT 1 FROM run WHERE id = $1 FOR UPDATE', [locked]);
      expect(await remove()).toBe(0);
    } finally {
      await client.query('ROLLBACK');
      client.release();
    }
    expect(await remove()).toBe(1);
    for (const kept of [alive, callback]) expect(await db.run(kept)).toBeDefined();
    expect(await db.task(locked)).toBeUndefined();
  });

  plain('is one at a time', async () => {
    for (let count = 0; count < 20; count += 1) await ended(30);
    const answers = await Promise.all(Array.from({ length: 5 }, () => remove()));
    expect(answers.reduce<number>((sum, answer) => sum + (answer ?? 0), 0)).toBe(20);
  });

  plain('for their bytes leaves what is alive or needed, and says so when nothing more may go', async () => {
    const alive = await db.accepted();
    const [awaited, old, young] = [await ended(30), await ended(20), await ended(10)];
    await db.rows('UPDATE run SET awaited = true, parent_run_id = $1 WHERE id = $2', alive, awaited);
    const retention = createRetentionStore(db.pool);
    const log = createTestLog();
    const deps = { retention, days: 0, pause: async () => undefined, log };
    const { bytes = 0 } = (await retention.measure(0)) ?? {};
    const { signal } = new AbortController();
    // A little less than what there is: one has to go.
    expect(await createSizeRetention({ ...deps, bytes: Math.round(bytes) - 10 })(signal)).toBe(1);
    expect(await db.run(old)).toBeUndefined();
    for (const kept of [alive, awaited, young]) expect(await db.run(kept)).toBeDefined();
    const keepWithin = createSizeRetention({ ...deps, bytes: 1 });
    await keepWithin(signal);
    await keepWithin(signal);
    expect(await db.run(young)).toBeUndefined();
    for (const kept of [alive, awaited]) expect(await db.run(kept)).toBeDefined();
    expect(log.lines.filter(({ event }) => event === 'retention_bytes_exceeded').length).toBe(1);
  });

  plain(
    'what is left of runs that were removed does not count, and nothing is read where all is within the limit',
    async () => {
      await ended(30);
      const retention = createRetentionStore(db.pool);
      const before = await retention.measure(0);
      await db.rows(
        `INSERT INTO event (run_id, epoch, kind) SELECT 'nobody', 1, 'task.retrying' FROM generate_series(1, 1000)`,
      );
      expect(await retention.measure(0)).toEqual(before);
      const enough = 1_000_000_000;
      const within = await retention.measure(enough);
      expect(within?.endedRuns).toBe(0);
      expect(within?.bytes).toBeGreaterThan(before?.bytes ?? 0);
    },
  );
});
