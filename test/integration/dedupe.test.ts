/** `dedupe` through the public door: within the window one run for each key, however many ask for it at a time. */
import type pg from 'pg';
import { describe, expect } from 'vitest';
import { createExpiryStore } from '../../src/store/recover/expired.ts';
import { type Answer, accepted, field, list, openClient } from '../harness/client/client.ts';
import { until } from '../harness/until.ts';
import { expectProblem } from '../support/expect-answers.ts';
import { onBothBackends } from '../support/fixtures.ts';
import { echo, workflow } from '../support/test-task.ts';

const orders = (policy: 'reject' | 'return_existing') =>
  workflow([echo('ship', [], { order: '{{params.order}}' })], {
    dedupe: { key: '{{params.order}}', window_seconds: 3600, policy },
  });
const order = (id: string | null, more: object = {}) => ({ parameters: { order: id }, ...more });

/** As if every window were over. */
async function endWindows(db: pg.Pool): Promise<void> {
  await db.query(`UPDATE run_dedupe SET expires_at = now() - interval '1 second'`);
}

async function runsOf(db: pg.Pool, workflowId: string): Promise<string[]> {
  const { rows } = await db.query<{ id: string }>('SELECT id FROM run WHERE workflow_id = $1 ORDER BY id', [
    workflowId,
  ]);
  return rows.map(({ id }) => id);
}

describe.each(onBothBackends())('dedupe on $backend', ({ test }) => {
  test('of fifty requests at a time one begins a run, and the others are told which', async ({ api, db, stack }) => {
    const second = await stack.add('api');
    const apis = [api, openClient(`http://127.0.0.1:${second.port}`)];
    const id = await api.createWorkflow(orders('reject'));
    const post = (n: number) => (apis[n % 2] ?? api).post(`/workflows/${id}/execute`, order('a'));
    const answers = await Promise.all(Array.from({ length: 50 }, (_, n) => post(n)));
    const begun = answers.filter(({ status }) => status === 202);
    expect(begun).toHaveLength(1);
    const [run] = begun.map((answer) => field(answer, 'execution_id'));
    expect(await runsOf(db, id)).toEqual([run]);
    for (const answer of answers.filter(({ status }) => status !== 202)) {
      expectProblem(answer, 409, 'duplicate_run');
      expect(answer.body).toMatchObject({ execution_id: run, detail: expect.stringContaining(run ?? '') });
    }
    expect(await api.finished(run ?? '')).toMatchObject({ status: 'completed' });
    // It has ended, and its window has not.
    expectProblem(await api.post(`/workflows/${id}/execute`, order('a')), 409, 'duplicate_run');
    await endWindows(db);
    const next = await Promise.all(Array.from({ length: 20 }, (_, n) => post(n)));
    expect(next.filter(({ status }) => status === 202)).toHaveLength(1);
    expect(await runsOf(db, id)).toHaveLength(2);
    await second.stop();
  });

  test('return_existing answers all of them with the one run, and says so', async ({ api, db }) => {
    const id = await api.createWorkflow(orders('return_existing'));
    const answers = await Promise.all(
      Array.from({ length: 50 }, () => api.post(`/workflows/${id}/execute`, order('a'))),
    );
    const runs = await runsOf(db, id);
    expect(runs).toHaveLength(1);
    const marked = (answer: Answer) => answer.headers.get('execution-deduplicated') === 'true';
    for (const answer of answers) {
      expect(field(accepted(answer, 202), 'execution_id')).toBe(runs[0]);
      expect(answer.headers.get('location')).toContain(runs[0]);
      expect((answer.body as { deduplicated?: true }).deduplicated).toBe(marked(answer) ? true : undefined);
    }
    expect(answers.filter(marked)).toHaveLength(49);
    await api.finished(runs[0] ?? '');
    // By the simple door too, and another workflow has keys of its own.
    const task = await api.post('/assign-task', { task_type: id, params: { order: 'a' } });
    expect(field(accepted(task, 202), 'task_id')).toBe(runs[0]);
    const other = await api.createWorkflow(orders('return_existing'));
    expect(await api.finished(await api.execute(other, order('a')))).toMatchObject({ status: 'completed' });
  });

  test('many at once: a duplicate is a fault of its own item, and what has no key is never one', async ({
    api,
    db,
  }) => {
    const id = await api.createWorkflow(orders('reject'));
    const items = list(
      accepted(
        await api.post(`/workflows/${id}/executions`, {
          items: [order('a'), order('b'), order('a'), order(null), order(null)],
        }),
        202,
      ),
    );
    const [first, second, third, ...unkeyed] = items;
    expect(first).toMatchObject({ index: 0, execution_id: expect.any(String) });
    expect(second).toMatchObject({ index: 1, execution_id: expect.any(String) });
    expect(third).toMatchObject({
      index: 2,
      error: { code: 'duplicate_run', execution_id: first?.['execution_id'] },
    });
    expect(unkeyed.map((item) => typeof item['execution_id'])).toEqual(['string', 'string']);
    expect(await runsOf(db, id)).toHaveLength(4);
  });

  test('an idempotency key goes first, and a request that it refuses claims nothing', async ({ api, db }) => {
    const id = await api.createWorkflow(orders('reject'));
    const post = (body: object) => api.post(`/workflows/${id}/execute`, body);
    const keyed = order('a', { idempotency_key: `${id} one` });
    const first = field(accepted(await post(keyed), 202), 'execution_id');
    const again = accepted(await post(keyed), 202);
    expect(field(again, 'execution_id')).toBe(first);
    expect(again.headers.get('idempotency-replayed')).toBe('true');
    expectProblem(await post(order('a', { idempotency_key: `${id} two` })), 409, 'duplicate_run');
    expectProblem(await post(order('b', { idempotency_key: `${id} one` })), 409, 'idempotency_conflict');
    // The refused ones kept neither key: what they asked for may still be begun.
    accepted(await post(order('b')), 202);

    const other = await api.createWorkflow(orders('reject'));
    const race = await Promise.all(
      Array.from({ length: 20 }, (_, n) =>
        api.post(`/workflows/${other}/execute`, order(`${n}`, { idempotency_key: `${other} one` })),
      ),
    );
    expect(race.filter(({ status }) => status === 202)).toHaveLength(1);
    const { rows } = await db.query('SELECT run_id FROM run_dedupe WHERE workflow_id = $1', [other]);
    expect(rows).toEqual((await runsOf(db, other)).map((run_id) => ({ run_id })));
  });

  test('a slot of a schedule that would be a duplicate is refused, with the reason', async ({ api }) => {
    const id = await api.createWorkflow(orders('reject'));
    await api.execute(id, order('nightly'));
    const schedule = field(
      accepted(
        await api.post('/schedules', {
          name: `duplicate ${id}`,
          workflow_id: id,
          parameters: { order: 'nightly' },
          interval_seconds: 1,
        }),
        201,
      ),
      'schedule_id',
    );
    const recent = async () => list(await api.get(`/schedules/${schedule}`), 'recent');
    await until(async () => (await recent()).length > 0, { what: 'a slot is decided' });
    expect((await recent())[0]).toMatchObject({
      status: 'refused',
      reason: expect.stringContaining('duplicate_run: '),
    });
    accepted(await api.send('DELETE', `/schedules/${schedule}`), 204);
  });

  test('keys whose window is over are removed, and no others', async ({ api, db }) => {
    await endWindows(db);
    const id = await api.createWorkflow(orders('reject'));
    await api.finished(await api.execute(id, order('kept')));
    const expiry = createExpiryStore(db);
    while ((await expiry.removeExpired(2)) > 0);
    const { rows } = await db.query('SELECT workflow_id FROM run_dedupe');
    expect(rows).toEqual([{ workflow_id: id }]);
  });
});
