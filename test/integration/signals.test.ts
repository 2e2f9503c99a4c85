/** Signals through the public door: what is kept, who gets what, what is refused. */
import { describe, expect } from 'vitest';
import { accepted, type Client, list } from '../harness/client/client.ts';
import { until } from '../harness/until.ts';
import { expectProblem, taskOf } from '../support/expect-answers.ts';
import { onBothBackends } from '../support/fixtures.ts';

const SCHEMA = {
  type: 'object',
  properties: { amount: { type: 'number', minimum: 0 } },
  required: ['amount'],
  additionalProperties: false,
};
const waitFor = (action_id: string, config: object = {}, more: object = {}) => ({
  action_id,
  action_type: 'signal',
  config: { name: 'payment', ...config },
  ...more,
});
const definition = (...actions: object[]) => ({ name: 'order', actions });

async function waits(api: Client, run: string, actionId: string): Promise<void> {
  await until(async () => taskOf(await api.execution(run), actionId).waiting_for !== undefined, {
    what: `${actionId} waits`,
  });
}
const send = (api: Client, run: string, payload: unknown, headers = {}, name = 'payment') =>
  api.post(`/workflows/executions/${run}/signals/${name}`, { payload }, headers);

describe.each(onBothBackends())('signals on $backend', ({ test }) => {
  test('one that comes while its action waits is its output', async ({ api, db }) => {
    const run = await api.execute(await api.createWorkflow(definition(waitFor('paid', { schema: SCHEMA }))));
    await waits(api, run, 'paid');
    expect(taskOf(await api.execution(run), 'paid').waiting_for).toMatchObject({ kind: 'signal', name: 'payment' });
    const wrong = await send(api, run, { amount: '7', more: 1 });
    expectProblem(wrong, 400, 'invalid_request');
    expect(list(wrong, 'errors')).toEqual([
      { path: 'payload.more', message: 'must NOT have additional properties' },
      { path: 'payload.amount', message: 'must be number' },
    ]);
    expectProblem(await send(api, run, 1, {}, 'paiment'), 404, 'not_found');
    expectProblem(await send(api, run, { amount: 7 }, { 'X-Tenant-ID': 'other' }), 404, 'not_found');
    expectProblem(await send(api, 'none', { amount: 7 }), 404, 'not_found');
    const sent = accepted(await send(api, run, { amount: 7 }, { 'X-User-ID': 'shop' }), 202);
    expect(sent.body).toEqual({ execution_id: run, name: 'payment', action_id: 'paid' });
    expect(taskOf(await api.finished(run), 'paid').output).toEqual({ amount: 7 });
    expectProblem(await send(api, run, { amount: 8 }), 409, 'already_final');
    const { rows } = await db.query(
      `SELECT action_id, data FROM event WHERE run_id = $1 AND kind = 'signal.received'`,
      [run],
    );
    expect(rows).toEqual([{ action_id: 'paid', data: { name: 'payment', by: 'shop', message: expect.any(Number) } }]);
  });

  test('those that come early are kept, and each action gets one, in the order of arrival', async ({ api }) => {
    const run = await api.execute(
      await api.createWorkflow(
        definition(
          { action_id: 'first', action_type: 'approval' },
          waitFor('one', {}, { depends_on: ['first'] }),
          waitFor('two', {}, { depends_on: ['one'] }),
        ),
      ),
    );
    const early = [await send(api, run, 'a', { 'Idempotency-Key': 'a' }), await send(api, run, 'b')];
    expect(early.map(({ status, body }) => [status, body])).toEqual([
      [202, expect.objectContaining({ action_id: null })],
      [202, expect.objectContaining({ action_id: null })],
    ]);
    const again = accepted(await send(api, run, 'a', { 'Idempotency-Key': 'a' }), 202);
    expect(again.headers.get('idempotency-replayed')).toBe('true');
    expectProblem(await send(api, run, 'x', { 'Idempotency-Key': 'a' }), 409, 'idempotency_conflict');
    // Two wait for it, and two are there: nobody would ever take a third.
    expectProblem(await send(api, run, 'c'), 409, 'already_decided');
    await waits(api, run, 'first');
    accepted(await api.post(`/workflows/executions/${run}/approve`, { action_id: 'first' }), 202);
    const ended = await api.finished(run);
    expect([taskOf(ended, 'one').output, taskOf(ended, 'two').output]).toEqual(['a', 'b']);
  });

  test('of several that wait at the same time each gets its own', async ({ api }) => {
    const ids = Array.from({ length: 5 }, (_, n) => `w${n}`);
    const run = await api.execute(await api.createWorkflow(definition(...ids.map((id) => waitFor(id)))));
    await Promise.all(ids.map((id) => waits(api, run, id)));
    const answers = await Promise.all([0, 1, 2, 3, 4, 5].map((n) => send(api, run, n)));
    expect(answers.map(({ status }) => status).sort()).toEqual([202, 202, 202, 202, 202, 409]);
    const given = answers
      .filter(({ status }) => status === 202)
      .map(({ body }) => (body as { action_id: string }).action_id);
    expect(given.sort()).toEqual(ids);
    const ended = await api.finished(run);
    const outputs = ids.map((id) => taskOf(ended, id).output);
    expect(new Set(outputs).size).toBe(5);
  });

  test('a deadline fails the action, or lets it go on with null', async ({ api, db }) => {
    const start = async (on_timeout: string) =>
      api.execute(await api.createWorkflow(definition(waitFor('paid', { timeout_seconds: 0.5, on_timeout }))));
    const [failing, going] = await Promise.all([start('fail'), start('continue')]);
    expect(await api.finished(failing)).toMatchObject({ status: 'failed', error: { code: 'signal_timed_out' } });
    const gone = await api.finished(going);
    expect(gone).toMatchObject({ status: 'completed' });
    expect(taskOf(gone, 'paid').output).toBeNull();
    // It waits anew when it is retried, for as long again.
    accepted(await api.post(`/workflows/executions/${failing}/retry`), 202);
    expect(await api.finished(failing)).toMatchObject({ status: 'failed', error: { code: 'signal_timed_out' } });
    const { rows } = await db.query(
      `SELECT epoch FROM event WHERE run_id = $1 AND kind = 'signal.timed_out' ORDER BY epoch`,
      [failing],
    );
    expect(rows).toEqual([{ epoch: 1 }, { epoch: 2 }]);
  });

  test('what was sent before a cancellation is there after a retry', async ({ api }) => {
    const run = await api.execute(
      await api.createWorkflow(
        definition({ action_id: 'first', action_type: 'approval' }, waitFor('paid', {}, { depends_on: ['first'] })),
      ),
    );
    accepted(await send(api, run, { n: 1 }), 202);
    await waits(api, run, 'first');
    accepted(await api.post(`/workflows/executions/${run}/cancel`), 202);
    await api.finished(run);
    accepted(await api.post(`/workflows/executions/${run}/retry`), 202);
    await waits(api, run, 'first');
    accepted(await api.post(`/workflows/executions/${run}/approve`, { action_id: 'first' }), 202);
    expect(taskOf(await api.finished(run), 'paid').output).toEqual({ n: 1 });
  });

  test('items of a list that wait for one name share what comes', async ({ api }) => {
    const each = waitFor('each', {}, { for_each: { items: [1, 2, 3] } });
    const run = await api.execute(await api.createWorkflow(definition(each)));
    for (const payload of ['a', 'b', 'c']) accepted(await send(api, run, payload), 202);
    const { output } = taskOf(await api.finished(run), 'each');
    expect(new Set(output as string[])).toEqual(new Set(['a', 'b', 'c']));
  });

  test('a task of the simple door waits too, and its schema holds', async ({ api }) => {
    const bad = await api.post('/assign-task', { task_type: 'signal', params: { name: 'x', schema: { type: 'no' } } });
    expectProblem(bad, 400, 'invalid_request');
    const task = await api.assign({ task_type: 'signal', params: { name: 'payment', schema: SCHEMA } });
    expectProblem(await send(api, task, {}), 400, 'invalid_request');
    accepted(await send(api, task, { amount: 1 }), 202);
    expect(await api.ended(task)).toMatchObject({ status: 'completed', result: { amount: 1 } });
  });

  test('a payload beyond 256 KiB is refused', async ({ api }) => {
    const run = await api.execute(await api.createWorkflow(definition(waitFor('paid'))));
    expectProblem(await send(api, run, 'x'.repeat(262_144)), 413, 'payload_too_large');
    accepted(await send(api, run, 'x'), 202);
    await api.finished(run);
  });
});
