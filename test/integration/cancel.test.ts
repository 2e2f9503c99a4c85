import { describe, expect } from 'vitest';
import { statuses } from '../harness/client/client.ts';
import { until } from '../harness/until.ts';
import { expectProblem, taskOf } from '../support/expect-answers.ts';
import { onBothBackends } from '../support/fixtures.ts';
import { echo, workflow } from '../support/test-task.ts';

// A test has a minute; what is cancelled here would have gone on for longer.
describe.each(onBothBackends({ workers: 2 }))('cancellation on $backend', ({ test }) => {
  test('a run that has not begun is cancelled at once', async ({ api }) => {
    const id = await api.createWorkflow(workflow([echo('a'), echo('b', ['a'])]));
    const run = await api.execute(id, { delay_seconds: 600 });
    expect(await api.post(`/workflows/executions/${run}/cancel`)).toMatchObject({ status: 202 });
    const ended = await api.finished(run);
    expect(ended).toMatchObject({ status: 'cancelled', progress: { pending: 0 } });
    expect(statuses(ended)).toEqual({ a: 'cancelled', b: 'cancelled' });
  });

  test('a delayed task is cancelled at once, and its result says so', async ({ api }) => {
    const id = await api.assign({ task_type: 'test_task', delay_seconds: 600 });
    await api.post(`/workflows/executions/${id}/cancel`, { reason: 'no longer needed' });
    expect(await api.ended(id)).toMatchObject({ status: 'cancelled', error: expect.any(String) });
    expect(await api.execution(id)).toMatchObject({ cancel_reason: 'no longer needed' });
  });

  test('a running adapter is aborted within seconds: the service sees its connection close', async ({
    api,
    service,
  }) => {
    service.answer(() => undefined);
    const run = await api.execute(
      await api.createWorkflow(
        workflow([
          { action_id: 'call', action_type: 'http_request', config: { url: `${service.url}/slow` } },
          echo('after', ['call']),
        ]),
      ),
    );
    await until(() => service.calls.length === 1);
    expect(await api.post(`/workflows/executions/${run}/cancel`, { reason: 'enough' })).toMatchObject({ status: 202 });
    await until(() => service.calls[0]?.abandoned === true, { what: 'the connection is closed' });
    const ended = await api.finished(run);
    expect(ended).toMatchObject({ status: 'cancelled', cancel_reason: 'enough' });
    expect(statuses(ended)).toEqual({ call: 'cancelled', after: 'cancelled' });
    expect(service.calls).toHaveLength(1);
  });

  test('a run that waits is cancelled within seconds', async ({ api }) => {
    const run = await api.execute(
      await api.createWorkflow(
        workflow([{ action_id: 'pause', action_type: 'wait', config: { seconds: 600 } }, echo('after', ['pause'])]),
      ),
    );
    await until(async () => taskOf(await api.execution(run), 'pause').status === 'waiting');
    await api.post(`/workflows/executions/${run}/cancel`);
    expect(statuses(await api.finished(run))).toEqual({ pause: 'cancelled', after: 'cancelled' });
  });

  test('a run whose task waits for its next attempt is cancelled within seconds', async ({ api }) => {
    const retry = { max_attempts: 5, backoff: 'fixed', initial_delay_seconds: 300 };
    const run = await api.execute(
      await api.createWorkflow(workflow([echo('bad', [], { fail_with: 'no' }, { retry })])),
    );
    await until(async () => taskOf(await api.execution(run), 'bad').status === 'retrying');
    await api.post(`/workflows/executions/${run}/cancel`);
    expect(await api.finished(run)).toMatchObject({
      status: 'cancelled',
      tasks: [{ status: 'cancelled', attempts_history: [{ attempt: 1, status: 'failed' }] }],
    });
  });

  test('an action with a delay of its own is cancelled within seconds', async ({ api }) => {
    const run = await api.execute(
      await api.createWorkflow(workflow([echo('a'), echo('b', ['a'], {}, { delay_seconds: 600 })])),
    );
    await until(async () => taskOf(await api.execution(run), 'a').status === 'completed');
    await api.post(`/workflows/executions/${run}/cancel`);
    expect(statuses(await api.finished(run))).toEqual({ a: 'completed', b: 'cancelled' });
  });

  test('cancelled at any moment of its beginning, a sleeping run ends within seconds and leaves nothing behind', async ({
    api,
  }) => {
    const id = await api.createWorkflow(
      workflow([{ action_id: 'pause', action_type: 'wait', config: { seconds: 600 } }, echo('after', ['pause'])]),
    );
    await Promise.all(
      Array.from({ length: 40 }, async (_, n) => {
        const run = await api.execute(id);
        // From at once to some milliseconds later: as many requests as it takes.
        for (let requests = n % 8; requests > 0; requests -= 1) await api.get('/livez');
        expect(await api.post(`/workflows/executions/${run}/cancel`)).toMatchObject({ status: 202 });
        expect(await api.finished(run)).toMatchObject({ status: 'cancelled' });
      }),
    );
  });

  test('what has ended cannot be cancelled, and what is unknown is not found', async ({ api }) => {
    const run = await api.assign({ task_type: 'test_task' });
    await api.ended(run);
    expectProblem(await api.post(`/workflows/executions/${run}/cancel`), 409, 'already_final');
    expectProblem(await api.post('/workflows/executions/unknown/cancel'), 404, 'not_found');
    expectProblem(
      await api.post(`/workflows/executions/${run}/cancel`, {}, { 'x-tenant-id': 'another' }),
      404,
      'not_found',
    );
  });

  test('completed actions keep their results in a cancelled run, and a branch under way is stopped', async ({
    api,
  }) => {
    const run = await api.execute(
      await api.createWorkflow(
        workflow([
          echo('done', [], { n: 1 }),
          echo('long', ['done'], { duration: 600 }),
          echo('other', ['done']),
          echo('end', ['long', 'other']),
        ]),
      ),
    );
    await until(async () => {
      const now = statuses(await api.execution(run));
      return now['long'] === 'running' && now['other'] === 'completed';
    });
    await api.post(`/workflows/executions/${run}/cancel`);
    const ended = await api.finished(run);
    expect(ended.status).toBe('cancelled');
    expect(statuses(ended)).toEqual({ done: 'completed', long: 'cancelled', other: 'completed', end: 'cancelled' });
    expect(taskOf(ended, 'done').output).toEqual({ n: 1 });
  });
});
