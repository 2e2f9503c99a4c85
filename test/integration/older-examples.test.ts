/** The example requests of the older services, word for word. */
import { describe, expect } from 'vitest';
import { accepted, field } from '../harness/client/client.ts';
import { type Service, startService } from '../harness/services/service.ts';
import { onBothBackends } from '../support/fixtures.ts';
import type { Stack } from '../support/stack.ts';

const HELLO_WORLD = {
  name: 'Hello World Workflow',
  description: 'A simple notification workflow',
  parameters: [{ name: 'message', type: 'string', description: 'Message to display', required: true }],
  actions: [
    {
      action_id: 'notify',
      action_type: 'notification',
      name: 'Send Notification',
      description: 'Send completion notification',
      config: { message: '{{message}}', channels: ['log'] },
    },
  ],
};
const FIRST_WORKFLOW = {
  name: 'Hello World',
  description: 'My first workflow',
  parameters: [{ name: 'message', type: 'string', required: true }],
  actions: [
    { action_id: 'greet', action_type: 'notification', name: 'Send Greeting', config: { message: '{{message}}' } },
  ],
};
const DOCUMENT_QUALITY = {
  name: 'Document Quality Analysis',
  description: 'Analyze document for quality and insights',
  parameters: [{ name: 'document_url', type: 'string', description: 'Document URL to analyze', required: true }],
  actions: [
    {
      action_id: 'fetch_doc',
      action_type: 'service_call',
      name: 'Fetch Document',
      config: { service: 'source_agent', endpoint: '/fetch', method: 'POST', parameters: { url: '{{document_url}}' } },
    },
    {
      action_id: 'analyze_quality',
      action_type: 'service_call',
      name: 'Analyze Quality',
      config: {
        service: 'analysis_service',
        endpoint: '/analyze',
        method: 'POST',
        parameters: { content: '{{fetch_doc.response.content}}' },
      },
      depends_on: ['fetch_doc'],
    },
  ],
};
const PR_CONFIDENCE = {
  name: 'PR Confidence Analysis',
  description: 'Analyze PR confidence against requirements',
  parameters: [
    { name: 'pr_number', type: 'integer', required: true },
    { name: 'repository', type: 'string', required: true },
  ],
  actions: [
    {
      action_id: 'fetch_pr',
      action_type: 'service_call',
      name: 'Fetch PR Data',
      config: {
        service: 'source_agent',
        endpoint: '/github/pr',
        method: 'GET',
        parameters: { pr_number: '{{pr_number}}', repository: '{{repository}}' },
      },
    },
    {
      action_id: 'analyze_confidence',
      action_type: 'service_call',
      name: 'Analyze Confidence',
      config: {
        service: 'analysis_service',
        endpoint: '/calculate_confidence',
        method: 'POST',
        parameters: { pr_data: '{{fetch_pr.response}}' },
      },
      depends_on: ['fetch_pr'],
    },
  ],
};

const withServices = onBothBackends({ workers: 0 }).map(({ backend, test }) => ({
  backend,
  test: test.extend('services', { scope: 'file' }, ({ stack }, { onCleanup }) => openServices(stack, onCleanup)),
}));

describe.each(withServices)('the examples of the older services on $backend', ({ test }) => {
  const asUser = { 'x-user-id': 'user@example.com' };

  test('the hello world of basic usage completes, as user@example.com', async ({ api, stack, services: _ }) => {
    const created = accepted(await api.post('/workflows', HELLO_WORLD, asUser), 201);
    expect(created.body).toMatchObject({ created_by: 'user@example.com' });
    const started = accepted(
      await api.post(
        `/workflows/${field(created, 'workflow_id')}/execute`,
        { parameters: { message: 'Hello, World!' } },
        asUser,
      ),
      202,
    );
    const run = await api.finished(field(started, 'execution_id'));
    expect(run).toMatchObject({
      status: 'completed',
      user_id: 'user@example.com',
      tasks: [{ action_id: 'notify', input: { message: 'Hello, World!', channels: ['log'] } }],
    });
    expect(stack.log.lines.some((line) => JSON.stringify(line).includes('Hello, World!'))).toBe(true);
  });

  test('the hello world of getting started needs no channels', async ({ api, services: _ }) => {
    const created = accepted(await api.post('/workflows', FIRST_WORKFLOW), 201);
    const started = accepted(
      await api.post(`/workflows/${field(created, 'workflow_id')}/execute`, {
        parameters: { message: 'Hello, Orchestrator!' },
      }),
      202,
    );
    expect(await api.finished(field(started, 'execution_id'))).toMatchObject({
      status: 'completed',
      tasks: [{ action_id: 'greet', status: 'completed' }],
    });
  });

  test('the document example hands the content of source_agent to analysis_service', async ({ api, services }) => {
    const document = { content: 'Quality is not an act, it is a habit.', title: 'On habits' };
    services.sourceAgent.answer(() => ({ body: document }));
    services.analysis.answer(() => ({ body: { score: 0.9, issues: [] } }));
    const id = field(accepted(await api.post('/workflows', DOCUMENT_QUALITY), 201), 'workflow_id');
    const run = await api.finished(
      await api.execute(id, { parameters: { document_url: 'https://example.com/doc.pdf' } }),
    );
    expect(run).toMatchObject({
      status: 'completed',
      output: { analyze_quality: { status: 200, response: { score: 0.9, issues: [] } } },
    });
    expect(services.sourceAgent.calls.at(-1)).toMatchObject({
      method: 'POST',
      path: '/fetch',
      body: { url: 'https://example.com/doc.pdf' },
    });
    expect(services.analysis.calls.at(-1)).toMatchObject({
      method: 'POST',
      path: '/analyze',
      body: { content: document.content },
    });
  });

  test('an undeclared parameter of the older example is accepted and listed in warnings', async ({ api, services }) => {
    services.sourceAgent.answer(() => ({ body: { content: 'x' } }));
    services.analysis.answer(() => ({ body: {} }));
    const id = field(accepted(await api.post('/workflows', DOCUMENT_QUALITY), 201), 'workflow_id');
    const body = { parameters: { document_url: 'https://example.com/doc.pdf', analysis_type: 'comprehensive' } };
    const started = accepted(await api.post(`/workflows/${id}/execute`, body), 202);
    expect(started.body).toMatchObject({ warnings: [expect.stringContaining('analysis_type')] });
    expect(await api.finished(field(started, 'execution_id'))).toMatchObject({ status: 'completed' });
  });

  test('the pull request example asks by GET with a query, and the data arrives as an object', async ({
    api,
    services,
  }) => {
    const pullRequest = { number: 42, title: 'Add retries', files: [{ path: 'a.ts', additions: 3 }], merged: false };
    services.sourceAgent.answer(() => ({ body: pullRequest }));
    services.analysis.answer(() => ({ body: { confidence: 0.75 } }));
    const id = field(accepted(await api.post('/workflows', PR_CONFIDENCE), 201), 'workflow_id');
    const run = await api.finished(
      await api.execute(id, { parameters: { pr_number: 42, repository: 'octo/hello world' }, correlation_id: 'pr-42' }),
    );
    expect(run).toMatchObject({
      status: 'completed',
      output: { analyze_confidence: { response: { confidence: 0.75 } } },
    });
    const asked = services.sourceAgent.calls.at(-1);
    expect(asked).toMatchObject({
      method: 'GET',
      path: '/github/pr',
      query: { pr_number: '42', repository: 'octo/hello world' },
      body: '',
    });
    const analysed = services.analysis.calls.at(-1);
    expect(analysed).toMatchObject({ method: 'POST', path: '/calculate_confidence', body: { pr_data: pullRequest } });
    // What a service needs to know about the run comes with every call.
    expect(analysed?.headers).toMatchObject({
      'x-correlation-id': 'pr-42',
      traceparent: expect.stringContaining(run.trace_id ?? 'none'),
    });
    expect(asked?.idempotencyKey).toBe(`${run.execution_id}.1.fetch_pr`);
    expect(analysed?.idempotencyKey).toBe(`${run.execution_id}.1.analyze_confidence`);
  });

  test('an analysis that is not understood ends the run and names the service', async ({ api, services }) => {
    services.sourceAgent.answer(() => ({ status: 404, body: { error: 'no such document' } }));
    const before = services.analysis.calls.length;
    const id = field(accepted(await api.post('/workflows', DOCUMENT_QUALITY), 201), 'workflow_id');
    const run = await api.finished(await api.execute(id, { parameters: { document_url: 'https://example.com/none' } }));
    expect(run).toMatchObject({
      status: 'failed',
      error: { code: 'upstream_rejected', message: expect.stringContaining('source_agent') },
    });
    expect(services.analysis.calls).toHaveLength(before);
  });
});

/** source_agent and analysis_service, named to a worker by its configuration. */
async function openServices(
  stack: Stack,
  onCleanup: (close: () => Promise<void>) => void,
): Promise<{ sourceAgent: Service; analysis: Service }> {
  const [sourceAgent, analysis] = await Promise.all([startService(), startService()]);
  onCleanup(async () => {
    await Promise.all([sourceAgent.close(), analysis.close()]);
  });
  await stack.add('worker', {
    SOURCE_AGENT_URL: sourceAgent.url,
    SERVICES: JSON.stringify({ 'analysis-service': analysis.url }),
  });
  return { sourceAgent, analysis };
}
