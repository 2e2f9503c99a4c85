/** One run of every kind of action to its end, and one of everything that an action may have done with it. */
import { describe, expect } from 'vitest';
import { accepted, type Client } from '../harness/client/client.ts';
import { until } from '../harness/until.ts';
import { complete, take } from '../support/external-worker.ts';
import { onBothBackends } from '../support/fixtures.ts';
import { register } from '../support/registered.ts';
import { echo, workflow } from '../support/test-task.ts';

const DOCUMENT = {
  ...{ openapi: '3.0.3', info: { title: 'Things', version: '1' } },
  paths: { '/things': { get: { operationId: 'listThings', responses: { 200: { description: 'ok' } } } } },
};
const OK = { status: 200 };

/** What a run is begun with, and waits for. */
interface Kind {
  config: (known: Known) => object;
  output: object;
  /** What it waits for from outside. */
  answer?: (api: Client, runId: string) => Promise<unknown>;
}
interface Known {
  url: string;
  workflowId: string;
  event: object;
}

const KINDS: Readonly<Record<string, Kind>> = {
  test_task: { config: () => ({ n: 1 }), output: { n: 1 } },
  approve_batches: { config: () => ({ batch_ids: [1, 2] }), output: { processed_batches: 2, approved: 2 } },
  transform: { config: () => ({ expression: '6 * 7' }), output: expect.anything() },
  wait: { config: () => ({ seconds: 0.1 }), output: { waited_until: expect.any(String) } },
  notification: {
    config: () => ({ message: 'hello', channels: ['log'] }),
    output: { delivered: [expect.objectContaining({ channel: 'log' })] },
  },
  http_request: { config: ({ url }) => ({ url: `${url}/things` }), output: OK },
  service_call: { config: () => ({ service: 'things', endpoint: '/things' }), output: OK },
  find_service: { config: () => ({ names: ['none', 'things'] }), output: { service: 'things' } },
  list_services: { config: () => ({}), output: { services: ['things'] } },
  poll_openapi: { config: () => ({ service: 'things' }), output: { service: 'things', operations: 1 } },
  store_document: { config: () => ({ id: 'd', content: 'words' }), output: { id: 'd' } },
  run_report: { config: () => ({}), output: { summary: expect.any(Object) } },
  replay_events: {
    config: ({ url, event }) => ({ events: [event], target: { webhook_url: url } }),
    output: { replayed: 1 },
  },
  kubernetes_job: { config: () => ({}), output: { status: 'disabled' } },
  workflow: {
    config: ({ workflowId }) => ({ workflow_id: workflowId }),
    output: { status: 'completed', output: { a: { n: 7 } } },
  },
  external: {
    config: () => ({ topic: 'outside' }),
    output: { made: 'outside' },
    answer: async (api) => complete(api, await take(api, 'outside'), { made: 'outside' }),
  },
  approval: {
    config: () => ({ message: 'may it?' }),
    output: { approved: true },
    answer: (api, runId) => settled(api, `/workflows/executions/${runId}/approve`, { action_id: 'it' }),
  },
  signal: {
    config: () => ({ name: 'paid' }),
    output: expect.anything(),
    answer: (api, runId) => settled(api, `/workflows/executions/${runId}/signals/paid`, { payload: { amount: 3 } }),
  },
};

async function settled(api: Client, path: string, body: object): Promise<void> {
  await until(async () => (await api.post(path, body)).status < 300, { what: path });
}

describe.each(onBothBackends())('every kind of action on $backend', ({ test }) => {
  test('each action type runs to its end', async ({ api, service, db }) => {
    service.answer(({ path }) => ({ body: path === '/openapi.json' ? DOCUMENT : { ok: true } }));
    await register(api, { things: service.url });
    const workflowId = await api.createWorkflow(workflow([echo('a', [], { n: 7 })]));
    const begun = await api.finished(await api.execute(workflowId));
    const { rows } = await db.query<{ id: string }>('SELECT id FROM event WHERE run_id = $1 ORDER BY id LIMIT 1', [
      begun.execution_id,
    ]);
    const known = { url: service.url, workflowId, event: { event_id: rows[0]?.id, execution_id: begun.execution_id } };
    const { items: types } = accepted(await api.get('/action-types'), 200).body as {
      items: Array<{ action_type: string }>;
    }; // As the document has it.
    expect(Object.keys(KINDS).sort()).toEqual(
      types
        .map(({ action_type }) => action_type)
        // A step of a session is one of executions of the service itself.
        .filter((type) => !type.startsWith('test_fault') && type !== 'session_step')
        .sort(),
    );
    await Promise.all(
      Object.entries(KINDS).map(async ([action_type, { config, output, answer }]) => {
        const it = { action_id: 'it', action_type, config: config(known), retry: { max_attempts: 1 } };
        const runId = await api.execute(await api.createWorkflow({ name: `one ${action_type}`, actions: [it] }));
        await answer?.(api, runId);
        const { status, output: got, error } = await api.finished(runId);
        expect({ action_type, status, error, got }).toEqual({
          ...{ action_type, status: 'completed', error: null },
          got: {
            it: output instanceof Object && !('asymmetricMatch' in output) ? expect.objectContaining(output) : output,
          },
        });
      }),
    );
  });

  test('so does a run with conditions, items, iterations, a cache, a deadline, groups and compensations', async ({
    api,
    service,
  }) => {
    const retry = { max_attempts: 2, backoff: 'fixed', initial_delay_seconds: 0.05 };
    const mixed = await api.run(
      workflow(
        [
          echo('first', [], { list: ['a', 'b', 'c'] }, { cache: { key: 'one', ttl_seconds: 60 } }),
          echo('each', ['first'], { got: '{{item}}' }, { for_each: { items: '{{first.list}}', max_parallel: 2 } }),
          echo('again', ['first'], { n: '{{iteration}}' }, { repeat: { until: 'true', max_iterations: 3 } }),
          echo('never', ['first'], {}, { when: 'size(first.list) > 3' }),
          echo('twice', ['first'], { fail_with: 'once', fail_attempts: 1 }, { retry, on_failure: 'continue' }),
          echo('late', ['each', 'again', 'twice', 'never'], {}, { delay_seconds: 0.1, run_if: 'all_done' }),
        ],
        { timeout_seconds: 60, concurrency: { key: 'one', limit: 1 } },
      ),
    );
    expect(mixed.status).toBe('completed');
    expect(Object.fromEntries(mixed.tasks.map(({ action_id, status }) => [action_id, status]))).toEqual({
      ...{
        first: 'completed',
        each: 'completed',
        again: 'completed',
        never: 'skipped',
        twice: 'completed',
        late: 'completed',
      },
    });
    const undo = { action_type: 'http_request', config: { url: `${service.url}/undo`, method: 'POST' } };
    const undone = await api.run(
      workflow([
        echo('done', [], {}, { compensate: undo }),
        echo('fails', ['done'], { fail_with: 'no' }, { retry: { max_attempts: 1 } }),
        echo('behind', ['fails']),
      ]),
    );
    expect(undone.status).toBe('compensated');
    expect(service.calls.map(({ path }) => path)).toEqual(['/undo']);
    const cancelled = await api.execute(
      await api.createWorkflow(workflow([echo('x', [], {}, { delay_seconds: 3600 })])),
    );
    accepted(await api.post(`/workflows/executions/${cancelled}/cancel`, { reason: 'enough' }), 202);
    expect(await api.finished(cancelled)).toMatchObject({ status: 'cancelled' });
    const failed = await api.run(workflow([echo('no', [], { fail_with: 'no' }, { retry: { max_attempts: 1 } })]));
    accepted(await api.post(`/workflows/executions/${failed.execution_id}/retry`, {}), 202);
    expect(await api.finished(failed.execution_id)).toMatchObject({ status: 'failed' });
  });
});
