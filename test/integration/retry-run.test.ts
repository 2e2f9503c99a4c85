/** Retrying a run by hand: it goes on from what did not complete, in a new epoch. */
import { describe, expect } from 'vitest';
import { createRetryStore } from '../../src/store/runs/reopen-run.ts';
import { accepted, type Client, statuses } from '../harness/client/client.ts';
import type { Service } from '../harness/services/service.ts';
import { until } from '../harness/until.ts';
import { expectProblem, taskOf } from '../support/expect-answers.ts';
import { onBothBackends } from '../support/fixtures.ts';
import { echo, failing, type TestAction, workflow } from '../support/test-task.ts';

const retryPath = (run: string) => `/workflows/executions/${run}/retry`;
const retry = async (api: Client, run: string) => accepted(await api.post(retryPath(run)), 202).body;

/** An action that calls the service: refused for good until the service is well. */
function call(service: Service, id: string, dependsOn: readonly string[] = [], more: object = {}): TestAction {
  const config = { url: `${service.url}/${id}`, method: 'POST', body: { id } };
  return { action_id: id, action_type: 'http_request', config, depends_on: [...dependsOn], ...more };
}

/** The service refuses these for good, and answers all others. */
function refuse(service: Service, ...ids: string[]): void {
  service.answer(({ path }) => (ids.includes(path.slice(1)) ? { status: 400 } : { body: { well: path } }));
}

const callsOf = (service: Service, id: string) => service.calls.filter(({ path }) => path === `/${id}`);

describe.each(onBothBackends({ workers: 2 }))('a retry by hand on $backend', ({ test }) => {
  test('goes on from what failed: completed actions are not executed again', async ({ api, service, db }) => {
    refuse(service, 'b');
    const actions = [
      call(service, 'a'),
      call(service, 'b', ['a']),
      call(service, 'c', ['a']),
      call(service, 'd', ['b', 'c']),
    ];
    const failed = await api.run(workflow(actions));
    expect(statuses(failed)).toEqual({ a: 'completed', b: 'failed', c: 'completed', d: 'upstream_failed' });
    const run = failed.execution_id;

    refuse(service);
    expect(await retry(api, run)).toMatchObject({ execution_id: run, status: 'queued', epoch: 2, reopened_actions: 2 });
    const ended = await api.finished(run);
    expect(ended).toMatchObject({ status: 'completed', error: null });
    expect(statuses(ended)).toEqual({ a: 'completed', b: 'completed', c: 'completed', d: 'completed' });
    expect(['a', 'b', 'c', 'd'].map((id) => callsOf(service, id).length)).toEqual([1, 2, 1, 1]);
    expect(callsOf(service, 'b').map(({ idempotencyKey }) => idempotencyKey)).toEqual([`${run}.1.b`, `${run}.2.b`]);
    expect(taskOf(ended, 'b').attempts_history).toMatchObject([
      { epoch: 1, attempt: 1, status: 'failed' },
      { epoch: 2, attempt: 1, status: 'completed' },
    ]);
    expect(taskOf(ended, 'a').attempts_history).toMatchObject([{ epoch: 1, status: 'completed' }]);
    const { rows } = await db.query<{ kind: string; epoch: number }>(
      `SELECT kind, epoch FROM event WHERE run_id = $1 AND kind LIKE '%retried' OR run_id = $1 AND kind LIKE 'run.%' ORDER BY id`,
      [run],
    );
    expect(rows).toEqual([
      { kind: 'run.failed', epoch: 1 },
      { kind: 'run.retried', epoch: 2 },
      { kind: 'task.retried', epoch: 2 },
      { kind: 'run.completed', epoch: 2 },
    ]);
  });

  test('works for a single task by its id, as often as it takes', async ({ api, service }) => {
    refuse(service, 'once');
    const task = await api.assign({ task_type: 'http_request', params: { url: `${service.url}/once` } });
    expect(await api.ended(task)).toMatchObject({ status: 'failed' });
    await retry(api, task);
    expect(await api.ended(task)).toMatchObject({ status: 'failed' });
    refuse(service);
    expect(await retry(api, task)).toMatchObject({ epoch: 3 });
    expect(await api.ended(task)).toMatchObject({ status: 'completed', result: { body: { well: '/once' } } });
    expect(callsOf(service, 'once')).toHaveLength(3);
  });

  test('takes a cancelled run up again, at once and while its old jobs are still in the queue', async ({ api }) => {
    // Gates of both epochs are in the queue at the same time.
    const actions = [
      { action_id: 'pause', action_type: 'wait', config: { seconds: 600 }, when: 'params.wait' },
      ...['a', 'b', 'c'].map((id) => echo(id)),
      echo('ab', ['a', 'b']),
      echo('bc', ['b', 'c']),
      echo('ca', ['c', 'a', 'pause']),
    ];
    const id = await api.createWorkflow(
      workflow(actions, { parameters: [{ name: 'wait', type: 'boolean', default: true }] }),
    );
    await Promise.all(
      Array.from({ length: 12 }, async (_, n) => {
        const run = await api.execute(id, { parameters: { wait: false } });
        for (let requests = n % 6; requests > 0; requests -= 1) await api.get('/livez');
        const { status } = await api.post(`/workflows/executions/${run}/cancel`);
        const before = await api.ended(run);
        if (status === 409 || before.status === 'completed') return;
        await retry(api, run);
        expect(await api.finished(run)).toMatchObject({ error: null, status: 'completed', cancel_reason: null });
      }),
    );
    const waiting = await api.execute(id);
    await until(async () => taskOf(await api.execution(waiting), 'pause').status === 'waiting');
    await api.post(`/workflows/executions/${waiting}/cancel`);
    await api.ended(waiting);
    await retry(api, waiting);
    await until(async () => taskOf(await api.execution(waiting), 'pause').status === 'waiting');
    await api.post(`/workflows/executions/${waiting}/cancel`);
    expect(await api.finished(waiting)).toMatchObject({ status: 'cancelled' });
  });

  test('reopens what completed below a failure that was let go, and leaves skipped branches skipped', async ({
    api,
    service,
  }) => {
    refuse(service, 'letgo', 'last');
    const actions = [
      call(service, 'letgo', [], { on_failure: 'continue' }),
      call(service, 'below', ['letgo']),
      call(service, 'apart'),
      call(service, 'skipped', ['apart'], { when: 'false' }),
      call(service, 'under', ['apart', 'skipped']),
      call(service, 'last', ['under', 'below']),
    ];
    const failed = await api.run(workflow(actions));
    expect(statuses(failed)).toEqual({
      letgo: 'failed',
      below: 'completed',
      apart: 'completed',
      skipped: 'skipped',
      under: 'completed',
      last: 'failed',
    });
    refuse(service);
    expect(await retry(api, failed.execution_id)).toMatchObject({ reopened_actions: 3 });
    expect(await api.finished(failed.execution_id)).toMatchObject({ status: 'completed' });
    const times = ['letgo', 'below', 'apart', 'skipped', 'under', 'last'].map((id) => callsOf(service, id).length);
    expect(times).toEqual([2, 2, 1, 0, 1, 2]);
  });

  test('a fan-out with several last actions: only the failed ones run again', async ({ api, service }) => {
    const leaves = Array.from({ length: 30 }, (_, n) => `leaf${n}`);
    const bad = leaves.filter((_, n) => n % 7 === 0);
    refuse(service, ...bad);
    const failed = await api.run(workflow([call(service, 'root'), ...leaves.map((id) => call(service, id, ['root']))]));
    expect(failed.status).toBe('failed');
    refuse(service);
    expect(await retry(api, failed.execution_id)).toMatchObject({ reopened_actions: bad.length });
    expect(await api.finished(failed.execution_id)).toMatchObject({ status: 'completed' });
    for (const id of leaves) expect(callsOf(service, id), id).toHaveLength(bad.includes(id) ? 2 : 1);
    expect(callsOf(service, 'root')).toHaveLength(1);
  });

  test('of two retries at the same time one wins', async ({ api, service }) => {
    refuse(service, 'a');
    const { execution_id: run } = await api.run(workflow([call(service, 'a'), call(service, 'b', ['a'])]));
    refuse(service);
    const answers = await Promise.all(Array.from({ length: 8 }, () => api.post(retryPath(run))));
    expect(answers.map(({ status }) => status).sort()).toEqual([202, ...Array<number>(7).fill(409)]);
    for (const answer of answers.filter(({ status }) => status === 409)) expectProblem(answer, 409, 'not_retryable');
    expect(await api.finished(run)).toMatchObject({ status: 'completed' });
    expect(callsOf(service, 'a')).toHaveLength(2);
  });

  test('is refused while the run is alive or when it completed, and of what is unknown', async ({ api }) => {
    const run = await api.execute(await api.createWorkflow(workflow([echo('a', [], { duration: 0.5 })])));
    expectProblem(await api.post(retryPath(run)), 409, 'not_retryable');
    await api.ended(run);
    expectProblem(await api.post(retryPath(run)), 409, 'not_retryable');
    expectProblem(await api.post(retryPath('unknown')), 404, 'not_found');
    const failed = await api.run(workflow([failing('a')]));
    expectProblem(await api.post(retryPath(failed.execution_id), {}, { 'x-tenant-id': 'another' }), 404, 'not_found');
  });

  test('a reopened run that its door never added is added by the dispatcher', async ({ api, service, db }) => {
    refuse(service, 'b');
    const { execution_id: run } = await api.run(workflow([call(service, 'a'), call(service, 'b', ['a'])]));
    refuse(service);
    const reopened = await createRetryStore(db).reopen({
      runId: run,
      epoch: 1,
      from: ['failed'],
      actionIds: ['b'],
      afterSeconds: 0,
      by: 'somebody',
    });
    expect(reopened).toMatchObject({ epoch: 2, gen: 0, status: 'pending', final: false });
    expect(await api.finished(run)).toMatchObject({ status: 'completed' });
    expect(callsOf(service, 'a')).toHaveLength(1);
  });

  test('its callback tells the second end too, under a key of its own', async ({ api, service }) => {
    refuse(service, 'a');
    const id = await api.createWorkflow(workflow([call(service, 'a')]));
    const run = await api.execute(id, { callback_url: `${service.url}/told` });
    await api.ended(run);
    await until(() => callsOf(service, 'told').length === 1);
    refuse(service);
    await retry(api, run);
    await api.ended(run);
    await until(() => callsOf(service, 'told').length === 2);
    expect(callsOf(service, 'told').map(({ body }) => (body as { status: string }).status)).toEqual([
      'failed',
      'completed',
    ]);
    expect(callsOf(service, 'told').map(({ headers }) => headers['webhook-id'])).toEqual([`${run}.1`, `${run}.2`]);
  });
});
