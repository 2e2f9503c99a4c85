/** `concurrency` through the public door: of the runs with one key never more than the limit are under way. */
import type pg from 'pg';
import { describe, expect } from 'vitest';
import { accepted, field, openClient } from '../harness/client/client.ts';
import type { Reply, Service } from '../harness/services/service.ts';
import { until } from '../harness/until.ts';
import { expectProblem } from '../support/expect-answers.ts';
import { onBothBackends } from '../support/fixtures.ts';
import { calling } from '../support/scenario.ts';
import { echo, type TestAction, workflow } from '../support/test-task.ts';

const grouped = (policy: string, limit: number, work: TestAction) =>
  workflow([{ ...work, retry: { max_attempts: 1 } }], {
    concurrency: { key: '{{params.customer}}', limit, policy },
  });
const lasting = (duration: number) => echo('work', [], { duration });

/** What asks the service lasts until it is let go; from then on it has this answer at once. */
function hold(service: Service, answer: Reply): () => void {
  let letGo: () => void = () => undefined;
  const isLetGo = new Promise<void>((resolve) => {
    letGo = resolve;
  });
  service.answer(() => isLetGo.then(() => answer));
  return letGo;
}
const of = (customer: string | null, more: object = {}) => ({ parameters: { customer }, ...more });

/** The most runs of that workflow and key that were under way at one moment, by what is committed. */
async function mostAtOnce(db: pg.Pool, workflowId: string, key: string): Promise<number> {
  const { rows } = await db.query<{ most: number }>(
    `WITH span AS (
       SELECT r.id, (SELECT min(t.started_at) FROM task t WHERE t.run_id = r.id) AS begun, r.finished_at AS ended
       FROM run r WHERE r.workflow_id = $1 AND r.concurrency_key = $2
     )
     SELECT max(n)::int AS most FROM span a CROSS JOIN LATERAL (
       SELECT count(*) AS n FROM span b WHERE b.begun <= a.begun AND a.begun < b.ended
     ) AS at_its_beginning`,
    [workflowId, key],
  );
  return rows[0]?.most ?? 0;
}

const countRuns = async (db: pg.Pool, workflowId: string) =>
  (await db.query('SELECT 1 FROM run WHERE workflow_id = $1', [workflowId])).rowCount;

describe.each(onBothBackends({ workers: 2 }))('concurrency on $backend', ({ test }) => {
  test('queue: however many come at a time, no more than the limit run; the others say what they wait for', async ({
    api,
    db,
    stack,
  }) => {
    const second = await stack.add('api');
    const apis = [api, openClient(`http://127.0.0.1:${second.port}`)];
    const id = await api.createWorkflow(grouped('queue', 3, lasting(0.1)));
    const runs = await Promise.all(Array.from({ length: 12 }, (_, n) => (apis[n % 2] ?? api).execute(id, of('acme'))));
    // Another key, and none, are other matters.
    const others = [await api.execute(id, of('other')), await api.execute(id, of(null)), await api.execute(id, of(''))];
    const seen = await Promise.all(runs.map((run) => api.execution(run)));
    const waiting = seen.filter(({ waiting_for }) => waiting_for !== undefined);
    expect(waiting.length).toBeGreaterThan(0);
    for (const found of waiting) {
      expect(found).toMatchObject({ status: 'pending', waiting_for: { concurrency_key: 'acme', limit: 3 } });
    }
    for (const run of [...others, ...runs]) {
      const found = await api.finished(run);
      expect(found.status).toBe('completed');
      expect(found.waiting_for).toBeUndefined();
    }
    expect(await mostAtOnce(db, id, 'acme')).toBeLessThanOrEqual(3);
    await second.stop();
  });

  test('queue: a delayed run, and one that is retried, wait for a place as well, in order', async ({
    api,
    db,
    service,
  }) => {
    const refusal = { status: 400 };
    service.answer(() => refusal);
    const id = await api.createWorkflow(grouped('queue', 1, calling(service, 'work')));
    const first = await api.execute(id, of('acme'));
    expect(await api.finished(first)).toMatchObject({ status: 'failed' });
    const letGo = hold(service, refusal);
    const second = await api.execute(id, of('acme'));
    const delayed = await api.execute(id, of('acme', { delay_seconds: 0.1, priority: 90 }));
    const retried = accepted(await api.post(`/workflows/executions/${first}/retry`), 202);
    expect(field(retried, 'status')).toBe('pending');
    expect((await api.execution(first)).waiting_for).toMatchObject({ concurrency_key: 'acme', position: 1 });
    letGo();
    for (const run of [second, delayed, first]) expect(await api.finished(run)).toMatchObject({ status: 'failed' });
    const { rows } = await db.query<{ id: string }>(
      `SELECT e.run_id AS id FROM event e WHERE e.kind = 'run.failed' AND e.run_id = ANY($1) ORDER BY e.id`,
      [[first, second, delayed]],
    );
    expect(rows.map((row) => row.id)).toEqual([first, second, first, delayed]);
  });

  test('reject: so many at a time get a place, the rest leaves nothing behind', async ({ api, db, service, stack }) => {
    const letGo = hold(service, {});
    const second = await stack.add('api');
    const apis = [api, openClient(`http://127.0.0.1:${second.port}`)];
    const id = await api.createWorkflow(grouped('reject', 2, calling(service, 'work')));
    const key = { idempotency_key: `only-${id}` };
    const kept = await api.execute(id, of('acme', key));
    const answers = await Promise.all(
      Array.from({ length: 20 }, (_, n) => (apis[n % 2] ?? api).post(`/workflows/${id}/execute`, of('acme'))),
    );
    const begun = answers.filter(({ status }) => status === 202).map((answer) => field(answer, 'execution_id'));
    expect(begun).toHaveLength(1);
    for (const answer of answers) if (answer.status !== 202) expectProblem(answer, 409, 'concurrency_limit');
    expect(await countRuns(db, id)).toBe(2);
    // It has been accepted before.
    expect(await api.execute(id, of('acme', key))).toBe(kept);
    const items = [of('acme'), of('other')];
    const bulk = accepted(await api.post(`/workflows/${id}/executions`, { items }), 202);
    expect(bulk.body).toMatchObject({ items: [{ error: { code: 'concurrency_limit' } }, { status: 'pending' }] });
    letGo();
    for (const run of [kept, ...begun]) expect(await api.finished(run)).toMatchObject({ status: 'completed' });
    expect(await api.finished(await api.execute(id, of('acme')))).toMatchObject({ status: 'completed' });
    await until(async () => (await db.query(`SELECT 1 FROM run WHERE NOT final`)).rowCount === 0);
    expect(await mostAtOnce(db, id, 'acme')).toBeLessThanOrEqual(2);
    await second.stop();
  });

  test('replace: the newest stays, the older ones are cancelled, begun or not', async ({ api, db }) => {
    const id = await api.createWorkflow(grouped('replace', 1, lasting(60)));
    const old = await api.execute(id, of('acme'));
    await until(async () => (await api.execution(old)).status === 'running', { what: 'the first runs' });
    const many = await Promise.all(Array.from({ length: 10 }, () => api.execute(id, of('acme'))));
    const last = await api.execute(id, of('acme'));
    for (const run of [old, ...many]) {
      const found = await api.finished(run);
      expect(found).toMatchObject({ status: 'cancelled', cancel_reason: expect.stringContaining('replaced by ') });
    }
    await until(async () => (await api.execution(last)).status === 'running', { what: 'the newest runs' });
    accepted(await api.post(`/workflows/executions/${last}/cancel`), 202);
    expect(await api.finished(last)).toMatchObject({ status: 'cancelled' });
    expect(await mostAtOnce(db, id, 'acme')).toBeLessThanOrEqual(1);
  });
});
