import { describe, expect } from 'vitest';
import { statuses } from '../harness/client/client.ts';
import { until } from '../harness/until.ts';
import { taskOf } from '../support/expect-answers.ts';
import { onBothBackends } from '../support/fixtures.ts';
import { echo, workflow } from '../support/test-task.ts';

describe.each(onBothBackends())('deadlines of runs on $backend', ({ test }) => {
  test('what runs, what waits, what backs off and what is delayed ends as timed_out, and is retried with a new deadline', async ({
    api,
    service,
  }) => {
    service.answer((call) => (call.path === '/good' ? { status: 200, body: 'ok' } : undefined));
    const retry = { max_attempts: 5, backoff: 'fixed', initial_delay_seconds: 300 };
    const begin = async (actions: Parameters<typeof workflow>[0], body: object = {}) =>
      api.execute(await api.createWorkflow(workflow(actions, { timeout_seconds: 2 })), body);
    const call = { action_id: 'call', action_type: 'http_request', config: { url: `${service.url}/slow` } };
    const calling = await begin([echo('first'), { ...call, depends_on: ['first'] }, echo('after', ['call'])]);
    const waiting = await begin([{ action_id: 'pause', action_type: 'wait', config: { seconds: 600 } }]);
    const backing = await begin([echo('bad', [], { fail_with: 'no' }, { retry })]);
    const delayed = await begin([echo('a', [], {}, { delay_seconds: 600 })]);
    const quick = await begin([echo('a')]);
    // Its deadline begins with its delay's end.
    const later = await begin([echo('a')], { delay_seconds: 600 });

    const ended = await api.finished(calling);
    expect(ended).toMatchObject({
      status: 'timed_out',
      error: { code: 'run_timed_out', message: expect.stringContaining(String(ended['deadline_at'])) },
    });
    expect(statuses(ended)).toEqual({ first: 'completed', call: 'cancelled', after: 'cancelled' });
    await until(() => service.calls[0]?.abandoned === true, { what: 'the connection is closed' });
    for (const run of [waiting, backing, delayed]) {
      const found = await api.finished(run);
      expect(found).toMatchObject({ status: 'timed_out', tasks: [{ status: 'cancelled' }] });
    }
    expect(await api.finished(quick)).toMatchObject({ status: 'completed', error: null });
    expect(await api.execution(later)).toMatchObject({ status: 'pending' });
    await api.post(`/workflows/executions/${later}/cancel`);
    expect((await api.get(`/result/${calling}`)).body).toMatchObject({ status: 'failed' });

    expect(await api.post(`/workflows/executions/${calling}/retry`)).toMatchObject({ status: 202 });
    await until(() => service.calls.length === 2);
    const again = await api.execution(calling);
    expect(Date.parse(String(again['deadline_at']))).toBeGreaterThan(Date.parse(String(ended['deadline_at'])));
    expect(taskOf(again, 'first')).toMatchObject({ status: 'completed', attempts: 1 });
    expect(await api.finished(calling)).toMatchObject({ status: 'timed_out' });
  });
});
