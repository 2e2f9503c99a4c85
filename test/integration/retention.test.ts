/** Retention: old runs go with everything that is kept of them, and nothing else does. */
import { afterAll, beforeAll, describe, expect, test as plain } from 'vitest';
import { createRetentionStore } from '../../src/store/retention.ts';
import { accepted, expectProblem, field } from '../support/client.ts';
import { type FenceDatabase, openFenceDatabase } from '../support/fence-database.ts';
import { onBothBackends } from '../support/fixtures.ts';
import { echo, failing, workflow } from '../support/test-task.ts';
import { until } from '../support/until.ts';

/** Attempts and events go with their week: partitions.test.ts. */
const TABLES = ['task', 'late_effect', 'external_task', 'task_report', 'task_chunk'];

describe.each(onBothBackends({ worker: { RETENTION_DAYS: '1' } }))('retention on $backend', ({ test }) => {
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

    await until(async () => (await api.get(`/workflows/executions/${old}`)).status === 404, { timeoutMs: 30_000 });
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
  const remove = (limit = 100) => createRetentionStore(db.pool).removeBatch(7, limit);

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
});
