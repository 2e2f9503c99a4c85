/** Flow runs over HTTP: with a definition of their own or of a workflow, by webhooks, and of other tenants. */
import { randomUUID } from 'node:crypto';
import { describe, expect, vi } from 'vitest';
import { accepted, field, list } from '../harness/client/client.ts';
import { expectProblem } from '../support/expect-answers.ts';
import { onBothBackends } from '../support/fixtures.ts';
import { echo, failing, workflow } from '../support/test-task.ts';

const [onRedis, onPostgres] = onBothBackends();
const BOTH = [onRedis, onPostgres].filter((one) => one !== undefined);
const ISO = expect.stringMatching(/^\d{4}-\d\d-\d\dT[\d:.]+Z$/);

const FLOW = {
  ...{ id: 'order', version: '1', type: 'DAG' },
  tasks: [
    { id: 'reserve', handler: 'test_task', inputs: { sku: '{{params.sku}}' } },
    { id: 'tell', handler: 'test_task', inputs: { for: '{{run.execution_context.shop}}' }, depends_on: ['reserve'] },
  ],
};
const OTHER = { 'X-Tenant-ID': 'other' };

describe.each(BOTH)('flow runs over HTTP on $backend', ({ test }) => {
  test('a run of a definition of its own has the output of every task, and its context in templates', async ({
    api,
  }) => {
    const answer = await api.post('/v1/runs', {
      ...{ flow_id: 'order', flow_definition: FLOW, input: { sku: 'A-1' }, tenant_id: 'default' },
      execution_context: { shop: 'north' },
    });
    const id = field(accepted(answer, 202), 'run_id');
    expect(answer.body).toEqual({ run_id: id, correlation_id: id });
    expect(answer.headers.get('location')).toBe(`/v1/runs/${id}`);
    const run = await api.finished(id);
    expect(run.status).toBe('completed');
    const shown = await api.get(`/v1/runs/${id}`);
    expect(shown.body).toEqual({
      ...{ run_id: id, status: 'COMPLETED', flow_id: 'order', tenant_id: 'default', input: { sku: 'A-1' } },
      output: { reserve: { sku: 'A-1' }, tell: { for: 'north' } },
      ...{ error: null, created_at: ISO, updated_at: ISO },
    });
    const times = shown.body as { created_at: string; updated_at: string };
    expect(times.updated_at >= times.created_at).toBe(true);
  });

  test('the same definition is stored once, and nobody finds it by its name', async ({ api, db }) => {
    const again = { ...FLOW, id: `order-${randomUUID()}` };
    const body = { flow_id: 'another', flow_definition: again, input: { sku: 'A' }, execution_context: { shop: 's' } };
    const answers = await Promise.all([1, 2, 3, 4].map(() => api.post('/v1/runs', body)));
    const runs = await Promise.all(answers.map((one) => api.finished(field(accepted(one, 202), 'run_id'))));
    expect(new Set(runs.map(({ execution_id: id }) => id)).size).toBe(4);
    expect(new Set(runs.map(({ workflow_id: id }) => id)).size).toBe(1);
    const { rows } = await db.query('SELECT FROM workflow WHERE name LIKE $1', [`%${again.id}`]);
    expect(rows.length).toBe(1);
    expect(list(await api.get('/workflows?page_size=100')).map(({ name }) => name)).not.toContain(again.id);
    expect(list(await api.get(`/workflows/search?q=${again.id}`), 'items')).toEqual([]);
    expectProblem(await api.post('/v1/runs', { flow_id: again.id, input: {} }), 404, 'unknown_flow');
  });

  test('without a definition flow_id is the id or the name of a workflow', async ({ api }) => {
    const name = `named ${randomUUID()}`;
    const workflowId = await api.createWorkflow(workflow([echo('one', [], { got: '{{params.x}}' })], { name }));
    for (const flow_id of [workflowId, name]) {
      const answer = await api.post(
        '/v1/runs',
        { flow_id, flow_definition: {}, input: { x: 1 } },
        { 'X-Correlation-ID': 'corr-1' },
      );
      const id = field(accepted(answer, 202), 'run_id');
      expect(answer.body).toEqual({ run_id: id, correlation_id: 'corr-1' });
      expect(await api.finished(id)).toMatchObject({ workflow_id: workflowId, output: { one: { got: 1 } } });
      expect((await api.get(`/v1/runs/${id}`)).body).toMatchObject({ flow_id, status: 'COMPLETED' });
    }
  });

  test('a repeated request_id gives the first run, and with another body a conflict', async ({ api, db }) => {
    const key = randomUUID();
    const body = { flow_id: 'order', flow_definition: FLOW, input: { sku: 'A' }, request_id: key };
    const context = { execution_context: { shop: 's' } };
    const answers = await Promise.all(
      [1, 2, 3].map((n) => api.post('/v1/runs', { ...body, ...context }, { 'X-Correlation-ID': `corr-${n}` })),
    );
    const ids = new Set(answers.map((one) => field(accepted(one, 202), 'run_id')));
    expect(ids.size).toBe(1);
    expect(answers.filter((one) => one.headers.get('idempotency-replayed') === 'true').length).toBe(2);
    // The first one's, whatever the others came with.
    const [correlationId, another] = new Set(answers.map((one) => field(one, 'correlation_id')));
    expect([correlationId, another]).toEqual([expect.stringMatching(/^corr-[123]$/), undefined]);
    expectProblem(
      await api.post('/v1/runs', { ...body, ...context, input: { sku: 'B' } }),
      409,
      'idempotency_conflict',
    );
    const [id = ''] = ids;
    await api.finished(id);
    // What was repeated or rejected has left nothing behind.
    const { rows } = await db.query(
      'SELECT run_id FROM flow_run h WHERE NOT EXISTS (SELECT FROM run r WHERE r.id = h.run_id)',
    );
    expect(rows).toEqual([]);
  });

  test('a failed run has its message, and one that goes on is RUNNING', async ({ api }) => {
    const broken = await api.createWorkflow(workflow([failing('breaks')]));
    const failed = field(accepted(await api.post('/v1/runs', { flow_id: broken, input: null }), 202), 'run_id');
    await api.ended(failed);
    expect((await api.get(`/v1/runs/${failed}`)).body).toMatchObject({
      ...{ status: 'FAILED', output: null, error: expect.stringContaining('breaks failed') },
    });
    const waits = await api.createWorkflow(
      workflow([{ action_id: 'hears', action_type: 'signal', config: { name: 'word' } }]),
    );
    const waiting = field(accepted(await api.post('/v1/runs', { flow_id: waits }), 202), 'run_id');
    await vi.waitFor(async () => {
      expect((await api.get(`/v1/runs/${waiting}`)).body).toMatchObject({ status: 'RUNNING' });
    }, 10_000);
    accepted(await api.post(`/workflows/executions/${waiting}/cancel`), 202);
    await api.ended(waiting);
    expect((await api.get(`/v1/runs/${waiting}`)).body).toMatchObject({ status: 'CANCELLED' });
  });

  test('what is wrong with a request is said at once', async ({ api }) => {
    const two = await api.post('/v1/runs', { input: 3, tenant_id: '', nonsense: true });
    expectProblem(two, 400, 'invalid_request');
    expect(paths(two)).toEqual(['flow_id', 'input', 'nonsense', 'tenant_id']);
    const flow_definition = {
      id: 'bad',
      tasks: [
        { id: 'a', handler: 'test_task', inputs: { x: '{{nobody.knows}}' }, depends_on: ['missing'] },
        { id: 'b', handler: 'nobody_does' },
      ],
    };
    const unknown = await api.post('/v1/runs', { flow_id: 'bad', flow_definition });
    expectProblem(unknown, 400, 'unknown_handler');
    expect(paths(unknown)).toEqual(
      expect.arrayContaining(['flow_definition.tasks.0.depends_on.0', 'flow_definition.tasks.1.handler']),
    );
    const cyclic = { id: 'bad', tasks: [{ id: 'a', handler: 'test_task', depends_on: ['a'] }] };
    const answer = await api.post('/v1/runs', { flow_id: 'bad', flow_definition: cyclic });
    expectProblem(answer, 400, 'invalid_request');
    expect(paths(answer).every((path) => path.startsWith('flow_definition'))).toBe(true);
    const large = { note: 'x'.repeat(64 * 1024) };
    expectProblem(await api.post('/v1/runs', { flow_id: 'a', execution_context: large }), 400, 'invalid_request');
    expectProblem(await api.post('/v1/runs', { flow_id: 'nowhere', input: {} }), 404, 'unknown_flow');
    expectProblem(await api.post('/v1/runs', { flow_id: 'a', tenant_id: 'other' }), 403, 'forbidden');
    const theirs = { ...FLOW, tenant_id: 'other' };
    expectProblem(await api.post('/v1/runs', { flow_id: 'a', flow_definition: theirs }), 403, 'forbidden');
  });

  test('another tenant neither sees the run nor can use the workflow', async ({ api }) => {
    const workflowId = await api.createWorkflow(workflow([echo('one')], { metadata: { webhook: true } }));
    const id = field(accepted(await api.post('/v1/runs', { flow_id: workflowId }), 202), 'run_id');
    await api.ended(id);
    expectProblem(await api.get(`/v1/runs/${id}`, OTHER), 404, 'not_found');
    expectProblem(await api.post('/v1/runs', { flow_id: workflowId }, OTHER), 404, 'unknown_flow');
    expectProblem(await api.post(`/v1/webhooks/${workflowId}`, {}, OTHER), 404, 'unknown_flow');
    // Of the same content each tenant has its own.
    const body = { flow_id: 'order', flow_definition: FLOW, input: { sku: 'A' }, execution_context: { shop: 's' } };
    const [ours, theirs] = await Promise.all([api.post('/v1/runs', body), api.post('/v1/runs', body, OTHER)]);
    for (const [answer, headers] of [
      [ours, {}],
      [theirs, OTHER],
    ] as const) {
      const run = field(accepted(answer, 202), 'run_id');
      await api.ended(run).catch(() => undefined);
      await vi.waitFor(async () => {
        const shown = await api.get(`/v1/runs/${run}`, headers);
        expect(shown.body).toMatchObject({ status: 'COMPLETED' });
      }, 10_000);
    }
    // An execution that is no flow run is not shown as one.
    const plain = await api.execute(workflowId);
    await api.ended(plain);
    expectProblem(await api.get(`/v1/runs/${plain}`), 404, 'not_found');
  });

  test('a webhook starts only what allows it', async ({ api }) => {
    const tell = echo('tell', [], { got: '{{params.sku}}', from: '{{run.execution_context.source}}' });
    const open = await api.createWorkflow(workflow([tell], { metadata: { webhook: true } }));
    const closed = await api.createWorkflow(workflow([echo('one')], { metadata: { webhook: 'yes' } }));
    const payload = { webhook_id: open, payload: { sku: 'A-1' }, source: 'shop', headers: { 'x-shop': '1' } };
    const id = field(accepted(await api.post(`/v1/webhooks/${open}`, payload), 202), 'run_id');
    expect(await api.finished(id)).toMatchObject({ output: { tell: { got: 'A-1', from: 'shop' } } });
    expect((await api.get(`/v1/runs/${id}`)).body).toMatchObject({ flow_id: open, input: { sku: 'A-1' } });
    expectProblem(await api.post(`/v1/webhooks/${closed}`, {}), 404, 'unknown_flow');
    expectProblem(await api.post(`/v1/webhooks/${closed}`, payload), 404, 'unknown_flow');
    const other = { ...payload, webhook_id: closed };
    expectProblem(await api.post(`/v1/webhooks/${open}`, other), 400, 'invalid_request');
    expectProblem(await api.post(`/v1/webhooks/${open}`, { payload: [] }), 400, 'invalid_request');
  });
});

function paths(answer: { body: unknown }): string[] {
  return (answer.body as { errors: Array<{ path: string }> }).errors.map(({ path }) => path).sort();
}
