/** Fan-outs and loops through the public door, on real queues. */
import { describe, expect } from 'vitest';
import { accepted, statuses } from '../harness/client/client.ts';
import { until } from '../harness/until.ts';
import { taskOf } from '../support/expect-answers.ts';
import { onBothBackends } from '../support/fixtures.ts';
import { onBothBackendsInProcesses } from '../support/processes.ts';
import { hasEnded } from '../support/scenario.ts';
import { echo, QUICK_RETRY, workflow } from '../support/test-task.ts';

const outputOf = (action: string) => `{{${action}}}`;

describe.each(onBothBackends({ workers: 2 }))('parts of tasks on $backend', ({ test }) => {
  test('a fan-out over what an action gave: outputs in the order of the items, retries and failures item by item', async ({
    api,
    service,
  }) => {
    service.answer(({ path }) => {
      const n = Number(path[1]);
      if (n === 3) return { status: 400 };
      if (n === 1 && service.calls.filter((call) => call.path === path).length === 1) return { status: 503 };
      return { body: { twice: n * 2 } };
    });
    const list = {
      action_id: 'list',
      action_type: 'transform',
      config: { expression: '[{"n": 0}, {"n": 1}, {"n": 2}, {"n": 3}]' },
    };
    const each = {
      action_id: 'each',
      action_type: 'http_request',
      for_each: { items: outputOf('list'), max_parallel: 2, on_item_failure: 'continue' },
      retry: QUICK_RETRY,
      config: { url: `${service.url}/{{item.n}}`, query: { at: '{{item_index}}' } },
    };
    const sum = {
      action_id: 'sum',
      action_type: 'transform',
      config: { expression: 'each.map(one, one == null ? -1 : int(one.body.twice))' },
    };
    const run = await api.run(workflow([list, each, sum]));
    expect(statuses(run)).toEqual({ list: 'completed', each: 'completed', sum: 'completed' });
    expect(taskOf(run, 'sum').output).toEqual([0, 2, 4, -1]);
    expect(taskOf(run, 'each')).toMatchObject({ parts: { total: 4, completed: 3, failed: 1 } });
    expect(run.progress).toMatchObject({ total: 3, completed: 3 });
    const parts = `/workflows/executions/${run.execution_id}/parts?of=each`;
    const first = accepted(await api.get(`${parts}&limit=3`), 200).body as { items: object[]; next_cursor: string };
    expect(first.items).toMatchObject([
      { action_id: 'each[0]', position: 0, status: 'completed', item: { n: 0 }, attempts: 1 },
      {
        action_id: 'each[1]',
        status: 'completed',
        attempts: 2,
        attempts_history: [{ status: 'failed' }, { status: 'completed' }],
      },
      { action_id: 'each[2]' },
    ]);
    expect(accepted(await api.get(`${parts}&cursor=${first.next_cursor}`), 200).body).toMatchObject({
      items: [{ action_id: 'each[3]', status: 'failed', error: { code: 'upstream_rejected' } }],
      next_cursor: null,
    });
    expect(accepted(await api.get(`${parts}&status=failed`), 200).body).toMatchObject({ items: [{ position: 3 }] });
  });

  test('a fan-out that failed is retried by hand: items that completed are not done again', async ({
    api,
    service,
  }) => {
    let isWell = false;
    service.answer(({ path }) => (path === '/1' && !isWell ? { status: 400 } : { body: { well: path } }));
    const each = {
      action_id: 'each',
      action_type: 'http_request',
      for_each: { items: ['0', '1', '2'] },
      config: { url: `${service.url}/{{item}}` },
    };
    const failed = await api.run(workflow([each, echo('after', ['each'])]));
    expect(statuses(failed)).toEqual({ each: 'failed', after: 'upstream_failed' });
    expect(taskOf(failed, 'each').error).toMatchObject({ code: 'item_failed', details: { first_failed: 1 } });
    isWell = true;
    accepted(await api.post(`/workflows/executions/${failed.execution_id}/retry`), 202);
    const ended = await api.finished(failed.execution_id);
    expect(statuses(ended)).toEqual({ each: 'completed', after: 'completed' });
    expect(['/0', '/1', '/2'].map((path) => service.calls.filter((call) => call.path === path).length)).toEqual([
      1, 2, 1,
    ]);
  });

  test('a loop goes round until its condition holds, and goes on from its iteration when it is retried', async ({
    api,
    service,
  }) => {
    let isWell = false;
    service.answer(() => {
      const calls = service.calls.length;
      if (calls === 3 && !isWell) return { status: 400 };
      return { body: { state: calls >= 4 ? 'done' : 'going', calls } };
    });
    const poll = {
      action_id: 'poll',
      action_type: 'http_request',
      repeat: { until: 'output.body.state == "done"', max_iterations: 6, delay_seconds: 0.05 },
      config: { url: service.url, method: 'POST', json: { n: '{{iteration}}', before: '{{previous.body.calls}}' } },
    };
    const failed = await api.run(workflow([poll]));
    expect(taskOf(failed, 'poll')).toMatchObject({
      status: 'failed',
      error: { message: expect.stringContaining('iteration 3') },
    });
    isWell = true;
    accepted(await api.post(`/workflows/executions/${failed.execution_id}/retry`), 202);
    const ended = await api.finished(failed.execution_id);
    expect(taskOf(ended, 'poll')).toMatchObject({ status: 'completed', parts: { total: 3, completed: 3 } });
    expect(taskOf(ended, 'poll').output).toMatchObject({ body: { state: 'done', calls: 4 } });
    expect(service.calls.map(({ body }) => body)).toEqual([
      { n: 1, before: null },
      { n: 2, before: 1 },
      { n: 3, before: 2 },
      { n: 3, before: 2 },
    ]);
  });

  test('a fan-out that is cancelled ends: what runs is aborted, what has not begun never is', async ({
    api,
    service,
  }) => {
    service.answer(() => undefined);
    const each = {
      action_id: 'each',
      action_type: 'http_request',
      for_each: { items: [0, 1, 2, 3, 4, 5], max_parallel: 2 },
      config: { url: service.url },
    };
    const run = await api.execute(await api.createWorkflow(workflow([each])));
    await until(() => service.calls.length === 2);
    accepted(await api.post(`/workflows/executions/${run}/cancel`), 202);
    const ended = await api.finished(run);
    expect(ended).toMatchObject({ status: 'cancelled' });
    expect(taskOf(ended, 'each')).toMatchObject({ status: 'cancelled', parts: { total: 6, cancelled: 6 } });
    expect(service.calls).toHaveLength(2);
  });

  test('two thousand items', async ({ api }) => {
    const each = echo('each', [], { n: '{{item}}' }, { for_each: { items: 'params.list' } });
    const list = Array.from({ length: 2_000 }, (_, n) => n);
    const id = await api.createWorkflow(
      workflow([each], { parameters: [{ name: 'list', type: 'array' }], output: '{{each}}' }),
    );
    const run = await api.finished(await api.execute(id, { parameters: { list } }));
    expect(run.status).toBe('completed');
    expect((run.output as { n: number }[]).map(({ n }) => n)).toEqual(list);
  });
});

describe.each(onBothBackendsInProcesses())('a worker that dies in a fan-out on $backend', ({ test }) => {
  test.for(['parts.afterWrite', 'parts.afterAdd'])('at %s', async (failpoint, { api, processes, service }) => {
    service.answer(({ path }) => ({ body: { path } }));
    await processes.compose('api');
    const dies = await processes.start('worker', { FAILPOINTS: `${failpoint}:exit` });
    const actions = [
      {
        action_id: 'each',
        action_type: 'http_request',
        for_each: { items: ['a', 'b', 'c'], max_parallel: 2 },
        config: { url: `${service.url}/{{item}}` },
      },
      echo('after', ['each']),
    ];
    const run = await api.execute(await api.createWorkflow(workflow(actions)));
    await hasEnded(dies);
    await processes.compose('worker');
    const ended = await api.finished(run);
    expect(statuses(ended)).toEqual({ each: 'completed', after: 'completed' });
    expect(taskOf(ended, 'each').output).toMatchObject(['a', 'b', 'c'].map((item) => ({ body: { path: `/${item}` } })));
  });
});
