/** Templates through the door: each that is shipped is run once, with small services where it calls some. */
import { describe, expect } from 'vitest';
import { accepted, type Client, field, statuses } from '../harness/client/client.ts';
import { startService } from '../harness/services/service.ts';
import { until } from '../harness/until.ts';
import { expectProblem } from '../support/expect-answers.ts';
import { onBothBackends } from '../support/fixtures.ts';
import { echo } from '../support/test-task.ts';

const ID = expect.stringMatching(/^[0-9a-f-]{36}$/);
const TIME = expect.stringMatching(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/);
const SHIPPED = [
  ['approval', 'Approval', 1, 3],
  ['document_analysis', 'Document Analysis', 2, 3],
  ['hello_world', 'Hello World', 1, 1],
  ['llm_summarize', 'LLM Summarize', 3, 1],
  ['multi_source_ingestion', 'Multi-Source Ingestion', 2, 2],
  ['pr_confidence_analysis', 'PR Confidence Analysis', 3, 3],
  ['saga_order', 'Order Saga', 4, 3],
] as const;
const SERVICES = [
  'source_agent',
  'analysis_service',
  'summarizer_hub',
  'inventory_service',
  'payment_service',
  'shipping_service',
  'llm_gateway',
];

/** One service under the names of all, each below a path of its own. */
const redis = onBothBackends({ workers: 0 })
  .filter(({ backend }) => backend === 'redis')
  .map(({ test }) => ({
    test: test.extend('outside', { scope: 'file' }, async ({ stack }, { onCleanup }) => {
      const service = await startService();
      onCleanup(() => service.close());
      const addresses = SERVICES.map((name) => [name, `${service.url}/${name}`]);
      await stack.add('worker', { SERVICES: JSON.stringify(Object.fromEntries(addresses)) });
      return service;
    }),
  }));

async function make(api: Client, template_name: string, customizations?: object): Promise<string> {
  const made = await api.post('/workflows/from-template', { template_name, customizations });
  return field(accepted(made, 201), 'workflow_id');
}

describe.each(redis)('templates', ({ test }) => {
  test('those that are shipped are listed and shown', async ({ api, outside: _ }) => {
    const listed = await api.get('/workflows/templates');
    expect(listed.status).toBe(200);
    expect(listed.body).toEqual({
      templates: Object.fromEntries(
        SHIPPED.map(([key, name, parameters_count, actions_count]) => [
          key,
          { name, description: expect.any(String), parameters_count, actions_count, source: 'shipped' },
        ]),
      ),
      total_templates: SHIPPED.length,
    });
    const shown = await api.get('/workflows/templates/hello_world');
    expect(shown.body).toEqual({
      template_name: 'hello_world',
      source: 'shipped',
      name: 'Hello World',
      description: 'Writes a message to the log',
      tags: ['example'],
      parameters: [
        {
          name: 'message',
          type: 'string',
          description: 'Message to display',
          required: false,
          default: 'Hello, World!',
        },
      ],
      actions: [
        {
          action_id: 'notify',
          action_type: 'notification',
          name: 'Send Notification',
          description: 'Writes the message to the log',
          config: { message: '{{message}}', channels: ['log'] },
          depends_on: [],
          run_if: 'all_succeeded',
          retry: expect.any(Object),
          timeout_seconds: 300,
          on_failure: 'fail',
        },
      ],
    });
    const unknown = await api.get('/workflows/templates/nothing');
    expectProblem(unknown, 404, 'not_found');
    expect(unknown.body).toMatchObject({ detail: 'Template not found', message: 'Template not found' });
  });

  test('a workflow is made of one, as the older platform does it, and analyses documents', async ({ api, outside }) => {
    const made = await api.post(
      '/workflows/from-template',
      {
        template_name: 'document_analysis',
        customizations: { name: 'Custom Document Analysis', description: 'Customized workflow' },
      },
      { 'x-user-id': 'user@example.com' },
    );
    const template = (await api.get('/workflows/templates/document_analysis')).body as Record<string, unknown>;
    expect(made.status).toBe(201);
    expect(made.body).toEqual({
      workflow_id: ID,
      name: 'Custom Document Analysis',
      description: 'Customized workflow',
      version: 1,
      current_version: 1,
      status: 'active',
      tags: ['documents', 'analysis'],
      parameters: template['parameters'],
      actions: template['actions'],
      output: template['output'],
      created_by: 'user@example.com',
      created_at: TIME,
      updated_at: TIME,
    });
    const id = field(made, 'workflow_id');
    expect(made.headers.get('location')).toBe(`/workflows/${id}`);
    expect(made.headers.get('etag')).toBe('"1"');

    outside.answer(({ path }) => {
      if (path.endsWith('/ingest')) return { body: { documents: [{ text: 'one' }] } };
      return { body: path.endsWith('/analyze') ? { quality: 0.9 } : { summary: 'good' } };
    });
    const before = outside.calls.length;
    const run = await api.finished(
      await api.execute(id, { parameters: { document_urls: ['https://example.com/a.pdf'] } }),
    );
    expect(run).toMatchObject({
      status: 'completed',
      output: { analysis: { quality: 0.9 }, summary: { summary: 'good' } },
    });
    expect(outside.calls.slice(before).map(({ method, path, body }) => [method, path, body])).toEqual([
      ['POST', '/source_agent/ingest', { urls: ['https://example.com/a.pdf'] }],
      [
        'POST',
        '/analysis_service/analyze',
        { documents: { documents: [{ text: 'one' }] }, analysis_types: ['quality', 'consistency'] },
      ],
      ['POST', '/summarizer_hub/summarize', { content: { quality: 0.9 } }],
    ]);
    expectProblem(
      await api.post(`/workflows/${id}/execute`, {
        parameters: { document_urls: ['x'], analysis_types: ['grammar'] },
      }),
      400,
      'parameter_validation_failed',
    );
  });

  test('the confidence in a pull request is analysed with a ticket and without', async ({ api, outside }) => {
    outside.answer(({ path }) => ({ body: path.includes('jira') ? { key: 'ABC-1' } : { path } }));
    const id = await make(api, 'pr_confidence_analysis');
    const before = outside.calls.length;
    const calls = () => outside.calls.slice(before).map(({ path, query, body }) => [path, query, body]);
    const parameters = { pr_number: 7, repository: 'octo/repo' };
    const without = await api.finished(await api.execute(id, { parameters }));
    expect(statuses(without)).toEqual({
      fetch_pr: 'completed',
      fetch_jira: 'skipped',
      analyze_confidence: 'completed',
    });
    const pr = ['/source_agent/github/pr', { pr_number: '7', repository: 'octo/repo' }, ''];
    const analysed = (jira_data: unknown) => [
      '/analysis_service/pr_confidence',
      {},
      { pr_data: { path: '/source_agent/github/pr' }, jira_data },
    ];
    expect(calls()).toEqual([pr, analysed(null)]);
    const given = { ...parameters, jira_ticket: 'ABC-1' };
    expect(await api.finished(await api.execute(id, { parameters: given }))).toMatchObject({ status: 'completed' });
    const [first, second, third] = calls().slice(2);
    expect([first, second]).toEqual(
      expect.arrayContaining([pr, ['/source_agent/jira/issue', { issue_key: 'ABC-1' }, '']]),
    );
    expect(third).toEqual(analysed({ key: 'ABC-1' }));
  });

  test('several sources are ingested, and one that fails does not stop the others', async ({ api, outside }) => {
    outside.answer(({ body }) => {
      const { source } = body as { source: string }; // As the template sends it.
      return source === 'jira' ? { status: 400, body: { error: 'no' } } : { body: { source, items: 3 } };
    });
    const id = await make(api, 'multi_source_ingestion');
    const before = outside.calls.length;
    const run = await api.finished(
      await api.execute(id, { parameters: { scope: { since: 'today' } }, correlation_id: 'in-1' }),
    );
    const answered = (source: string) => expect.objectContaining({ response: { source, items: 3 } });
    expect(run).toMatchObject({ status: 'completed' });
    expect(run.output).toEqual({
      results: [answered('github'), null, answered('confluence'), answered('swagger')],
    });
    const sent = outside.calls.slice(before).map(({ path, body }) => ({ path, ...(body as object) }));
    expect(sent).toHaveLength(4);
    expect(sent).toEqual(
      expect.arrayContaining(
        ['github', 'jira', 'confluence', 'swagger'].map((source) => ({
          path: '/source_agent/ingest',
          source,
          scope: { since: 'today' },
          correlation_id: 'in-1',
        })),
      ),
    );
  });

  test('an order is undone, last first, when it cannot be shipped', async ({ api, outside }) => {
    outside.answer(({ path }) => (path.endsWith('/shipments') ? { status: 400, body: {} } : { body: { at: path } }));
    const id = await make(api, 'saga_order');
    const before = outside.calls.length;
    const parameters = { order_id: 'o-1', customer_id: 'c-1', amount: 9.5, items: ['book'] };
    const run = await api.execute(id, { parameters });
    expect((await api.finished(run)).status).toBe('compensated');
    expect(outside.calls.slice(before).map(({ path, body }) => [path, body])).toEqual([
      ['/inventory_service/reservations', { order_id: 'o-1', items: ['book'] }],
      ['/payment_service/charges', { order_id: 'o-1', customer_id: 'c-1', amount: 9.5 }],
      ['/shipping_service/shipments', { order_id: 'o-1', items: ['book'] }],
      ['/payment_service/refunds', { order_id: 'o-1', charge: { at: '/payment_service/charges' } }],
      [
        '/inventory_service/reservations/release',
        { order_id: 'o-1', reservation: { at: '/inventory_service/reservations' } },
      ],
    ]);
    outside.answer(() => ({ body: { tracking: 't' } }));
    expect(await api.finished(await api.execute(id, { parameters }))).toMatchObject({
      status: 'completed',
      output: { order_id: 'o-1', shipment: { tracking: 't' } },
    });
  });

  test('a decision is asked for, a text is summarised, and hello is said', async ({ api, outside }) => {
    const ask = await make(api, 'approval');
    for (const [verb, approved, told] of [
      ['approve', true, 'tell_approved'],
      ['reject', false, 'tell_rejected'],
    ] as const) {
      const run = await api.execute(ask, { parameters: { subject: 'A new desk?' } });
      await until(async () => (await api.execution(run)).tasks[0]?.status === 'waiting', { what: 'it is asked' });
      const body = { action_id: 'ask', comment: 'so be it' };
      accepted(await api.post(`/workflows/executions/${run}/${verb}`, body, { 'x-user-id': 'anna' }), 202);
      const ended = await api.finished(run);
      expect(ended).toMatchObject({ status: 'completed', output: { approved, by: 'anna', comment: 'so be it' } });
      expect(ended.tasks.filter(({ status }) => status === 'completed').map((task) => task.action_id)).toEqual([
        'ask',
        told,
      ]);
    }

    outside.answer(() => ({ body: { choices: [{ message: { content: 'Short.' } }], usage: { total_tokens: 9 } } }));
    const summarize = await make(api, 'llm_summarize', { parameters: { model: { default: 'small' } } });
    const run = await api.finished(await api.execute(summarize, { parameters: { content: 'Long text' } }));
    expect(run).toMatchObject({ status: 'completed', output: { summary: 'Short.', usage: { total_tokens: 9 } } });
    expect(outside.calls.at(-1)).toMatchObject({
      path: '/llm_gateway/v1/chat/completions',
      body: { model: 'small', messages: [{ role: 'system' }, { role: 'user', content: 'Long text' }] },
    });

    const sample = await api.post('/workflows/examples/create-sample-workflow');
    expect(sample).toMatchObject({ status: 201, body: { name: 'Hello World', version: 1 } });
    expect(await api.finished(await api.execute(field(sample, 'workflow_id')))).toMatchObject({
      status: 'completed',
      tasks: [{ input: { message: 'Hello, World!', channels: ['log'] } }],
    });
  });

  test('customizations change everything, and what cannot work is refused at its place, with nothing made', async ({
    api,
    db,
    outside: _,
  }) => {
    const id = await make(api, 'hello_world', {
      name: 'Mine',
      tags: null,
      parameters: [{ name: 'count', type: 'integer', default: 2 }],
      actions: { notify: null, count: echo('count', [], { n: '{{count}}', text: '{{message}}' }) },
    });
    expect(await api.finished(await api.execute(id))).toMatchObject({
      status: 'completed',
      output: { count: { n: 2, text: 'Hello, World!' } },
    });
    const workflows = async () => (await db.query('SELECT count(*) FROM workflow')).rows;
    const before = await workflows();
    const refused = await api.post('/workflows/from-template', {
      template_name: 'document_analysis',
      customizations: { actions: { ingest_documents: null, summarize_results: { action_type: 'service_cal' } } },
    });
    expectProblem(refused, 422, 'definition_invalid');
    expect(refused.body).toMatchObject({
      errors: [
        {
          path: 'customizations.actions.analyze_documents.config.parameters.documents',
          message: expect.stringContaining('ingest_documents'),
        },
        {
          path: 'customizations.actions.summarize_results.action_type',
          message: expect.stringContaining("did you mean 'service_call'"),
        },
      ],
    });
    for (const [body, status, code] of [
      [{ template_name: 'nothing' }, 404, 'not_found'],
      [{}, 400, 'invalid_request'],
      [{ template_name: 'hello_world', customizations: [] }, 400, 'invalid_request'],
      [{ template_name: 'hello_world', customisations: {} }, 400, 'invalid_request'],
      [{ template_name: 'hello_world', customizations: { actions: { notify: null } } }, 400, 'invalid_request'],
    ] as const)
      expectProblem(await api.post('/workflows/from-template', body), status, code);
    expect(await workflows()).toEqual(before);
  });

  test('a tenant keeps templates of its own, which others do not see', async ({ api, outside: _ }) => {
    const own = { 'x-tenant-id': 'keeper', 'x-user-id': 'anna' };
    const stranger = { 'x-tenant-id': 'another' };
    const definition = {
      name: 'Nightly',
      actions: [echo('a', [], { n: '{{n}}' })],
      parameters: [{ name: 'n', type: 'integer' }],
    };
    const kept = await api.put('/workflows/templates/nightly', definition, own);
    const whole = {
      template_name: 'nightly',
      source: 'user',
      name: 'Nightly',
      description: null,
      tags: [],
      parameters: [{ name: 'n', type: 'integer', required: true }],
      actions: [expect.objectContaining({ action_id: 'a', config: { n: '{{n}}' } })],
      created_by: 'anna',
      created_at: TIME,
      updated_at: TIME,
    };
    expect(kept.status).toBe(201);
    expect(kept.body).toEqual(whole);
    expect(kept.headers.get('location')).toBe('/workflows/templates/nightly');
    const read = await api.get('/workflows/templates/nightly', own);
    expect(read.body).toEqual(kept.body);
    // What was read can be sent back.
    const again = await api.put('/workflows/templates/nightly', { ...(read.body as object), tags: ['t'] }, own);
    expect(again.status).toBe(200);
    expect(again.body).toEqual({ ...whole, tags: ['t'] });

    const made = await api.post(
      '/workflows/from-template',
      { template_name: 'nightly', customizations: { parameters: { n: { default: 4 } } } },
      own,
    );
    const id = field(accepted(made, 201), 'workflow_id');
    const saved = await api.post('/workflows/templates', { template_name: 'of-it', workflow_id: id }, own);
    expect(saved.status).toBe(201);
    expect(saved.body).toMatchObject({
      template_name: 'of-it',
      parameters: [{ name: 'n', default: 4, required: false }],
    });
    expect((await api.get('/workflows/templates', own)).body).toMatchObject({
      templates: {
        nightly: { name: 'Nightly', description: null, parameters_count: 1, actions_count: 1, source: 'user' },
        'of-it': { source: 'user' },
        hello_world: { source: 'shipped' },
      },
      total_templates: SHIPPED.length + 2,
    });

    expect((await api.get('/workflows/templates', stranger)).body).toMatchObject({ total_templates: SHIPPED.length });
    expectProblem(await api.get('/workflows/templates/nightly', stranger), 404, 'not_found');
    expectProblem(await api.send('DELETE', '/workflows/templates/nightly', undefined, stranger), 404, 'not_found');
    expectProblem(await api.post('/workflows/from-template', { template_name: 'nightly' }, stranger), 404, 'not_found');
    expectProblem(
      await api.post('/workflows/templates', { template_name: 'theirs', workflow_id: id }, stranger),
      404,
      'not_found',
    );

    expectProblem(await api.post('/workflows/templates', { template_name: 'of-it', definition }, own), 409, 'conflict');
    expectProblem(await api.put('/workflows/templates/hello_world', definition, own), 409, 'conflict');
    expectProblem(
      await api.post('/workflows/templates', { template_name: 'hello_world', definition }, own),
      409,
      'conflict',
    );
    expectProblem(await api.send('DELETE', '/workflows/templates/hello_world', undefined, own), 409, 'conflict');
    expectProblem(await api.put('/workflows/templates/a%20b', definition, own), 400, 'invalid_request');
    const broken = { ...definition, actions: [echo('a', ['b'])] };
    expectProblem(await api.put('/workflows/templates/broken', broken, own), 422, 'definition_invalid');
    const placed = await api.post('/workflows/templates', { template_name: 'broken', definition: broken }, own);
    expect(placed.body).toMatchObject({ errors: [{ path: 'definition.actions.0.depends_on.0' }] });
    for (const body of [{ template_name: 'x' }, { template_name: 'x', definition, workflow_id: id }, { definition }])
      expectProblem(await api.post('/workflows/templates', body, own), 400, 'invalid_request');
    expectProblem(await api.get('/workflows/templates/broken', own), 404, 'not_found');

    expect(await api.send('DELETE', '/workflows/templates/nightly', undefined, own)).toMatchObject({ status: 204 });
    expectProblem(await api.get('/workflows/templates/nightly', own), 404, 'not_found');
    expect((await api.get(`/workflows/${id}`, own)).status).toBe(200);
  });
});
