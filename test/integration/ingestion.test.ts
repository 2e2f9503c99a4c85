/** Ingestion through the public door: what the agents are asked, what is saved, and what is lost with an agent. */
import { describe, expect } from 'vitest';
import { type Answer, accepted, list } from '../harness/client/client.ts';
import type { Call, Reply } from '../harness/services/service.ts';
import { until } from '../harness/until.ts';
import { expectProblem } from '../support/expect-answers.ts';
import { onBothBackends } from '../support/fixtures.ts';
import { processesTest } from '../support/processes.ts';
import { NOBODY, register } from '../support/registered.ts';

const [onRedis] = onBothBackends();
const ISO = expect.stringMatching(/^\d{4}-\d\d-\d\dT[\d:.]+Z$/);
const TRACE = '4bf92f3577b34da6a3ce929d0e0e4736';
/** After a few failures the circuit of a service is open. */
const AWAY = expect.stringMatching(/^(network_error|circuit_open)$/);
const OTHER = { 'X-Tenant-ID': 'other' };

interface Begun {
  execution_id: string;
  correlation_id: string;
}
const begun = (answer: Answer) => accepted(answer, 200).body as Begun;
const linksOf = (id: string) => ({
  execution: `/workflows/executions/${id}`,
  events: `/workflows/executions/${id}/events`,
  result: `/result/${id}`,
});
const sourceIn = ({ body }: Call) => (body as { source: string }).source;
/** Two documents of whatever source is asked for. */
const agent = (call: Call): Reply => ({
  body: {
    documents: [
      { id: 1, content: `${sourceIn(call)} one` },
      { id: 'b', content: `${sourceIn(call)} two`, extra: true },
    ],
  },
});

describe.each([onRedis].filter((one) => one !== undefined))('ingestion on $backend', ({ test }) => {
  test('a source is fetched by its agent and saved, and who asked is told where', async ({ api, db, service }) => {
    service.answer(agent);
    await register(api, { github_agent: service.url, source_agent: NOBODY });
    const headers = { 'Idempotency-Key': 'in-1', traceparent: `00-${TRACE}-00f067aa0ba902b7-01` };
    const body = { source: 'github', scope: { repo: 'a/b' }, correlation_id: 'weekly' };
    const answer = await api.post('/ingest', body, headers);
    const { execution_id: id } = begun(answer);
    expect(answer.body).toEqual({
      status: 'accepted',
      source: 'github',
      correlation_id: 'weekly',
      trace_id: TRACE,
      execution_id: id,
      timestamp: ISO,
      links: linksOf(id),
    });
    const again = await api.post('/ingest', body, { 'Idempotency-Key': 'in-1' });
    expect([again.body, again.headers.get('idempotency-replayed')]).toEqual([answer.body, 'true']);
    expectProblem(
      await api.post('/ingest', { source: 'jira' }, { 'Idempotency-Key': 'in-1' }),
      409,
      'idempotency_conflict',
    );

    const run = await api.finished(id);
    const output = { source: 'github', agent: 'github_agent', stored_in: 'orchestrator' };
    expect(run).toMatchObject({ status: 'completed', correlation_id: 'weekly', trace_id: TRACE });
    expect(run.output).toEqual({ ...output, documents: ['github:1', 'github:b'] });
    expect(service.calls.map(({ method, path, body: sent }) => [method, path, sent])).toEqual([
      ['POST', '/ingest', { source: 'github', scope: { repo: 'a/b' }, correlation_id: 'weekly' }],
    ]);
    const metadata = { source: 'github', agent: 'github_agent' };
    const requested = await api.get('/infrastructure/events/history?event_type=ingestion.requested');
    expect(list(requested, 'events')).toMatchObject([
      {
        event_type: 'ingestion.requested',
        correlation_id: 'weekly',
        trace_id: TRACE,
        data: { source: 'github', scope: { repo: 'a/b' } },
      },
    ]);
    const { rows } = await db.query(
      `SELECT tenant_id, id, content, metadata, run_id FROM document WHERE id LIKE 'github:%' ORDER BY id`,
    );
    expect(rows).toEqual([
      { tenant_id: 'default', id: 'github:1', content: 'github one', metadata, run_id: id },
      { tenant_id: 'default', id: 'github:b', content: 'github two', metadata, run_id: id },
    ]);
  });

  test('without an agent of its own a source is fetched by source_agent, and saved where the documents are', async ({
    api,
    service,
  }) => {
    service.answer((call) => {
      if (call.path === '/documents') return { body: { id: (call.body as { id: string }).id } };
      return { body: { page: 'no list' } };
    });
    await register(api, { source_agent: service.url, doc_store: service.url }, OTHER);
    const answer = begun(await api.post('/ingest', { source: 'wiki' }, OTHER));
    const ended = `/workflows/executions/${answer.execution_id}`;
    expectProblem(await api.get(ended), 404, 'not_found');
    const output = await until(async () => {
      const run = (await api.get(ended, OTHER)).body as { status: string; output: object; correlation_id: string };
      expect(run.correlation_id).toBe(answer.correlation_id);
      return run.status === 'completed' ? run.output : undefined;
    });
    expect(output).toEqual({ source: 'wiki', agent: 'source_agent', stored_in: 'doc_store', documents: ['wiki'] });
    const saved = service.calls.find(({ path }) => path === '/documents');
    expect(saved?.body).toEqual({
      id: 'wiki',
      content: '{"page":"no list"}\n',
      metadata: { source: 'wiki', agent: 'source_agent' },
    });
  });

  test('several sources go side by side, and one that fails does not lose the others', async ({ api, db, service }) => {
    const open = new Set<string>();
    let most = 0;
    const held: Array<() => void> = [];
    service.answer(async (call) => {
      const source = sourceIn(call);
      if (source === 'jira') return { status: 400 };
      open.add(source);
      most = Math.max(most, open.size);
      await new Promise<void>((resolve) => held.push(resolve));
      open.delete(source);
      return agent(call);
    });
    await register(api, { github_agent: service.url, source_agent: service.url, swagger_agent: NOBODY });
    const answer = await api.post('/workflows/run', { scope: { since: 'monday' }, priority: 'high' });
    const { execution_id: id, correlation_id } = begun(answer);
    const sources = ['github', 'jira', 'confluence', 'swagger'];
    expect(answer.body).toEqual({
      status: 'started',
      steps: sources.map((source) => ({ op: 'ingest', source, status: 'pending' })),
      correlation_id,
      saga_id: id,
      execution_id: id,
      links: { ...linksOf(id), saga: `/infrastructure/saga/${id}` },
    });
    await until(() => held.length === 2, { what: 'two agents are at work at the same time' });
    for (const release of held) release();
    const run = await api.finished(id);
    expect(most).toBe(2);
    expect(run).toMatchObject({ status: 'completed', correlation_id, priority: 25 });
    const of = (source: string, agentName: string) => ({
      ...{ source, agent: agentName, stored_in: 'orchestrator' },
      documents: [`${source}:1`, `${source}:b`],
    });
    expect(run.output).toEqual({
      completed: [of('github', 'github_agent'), of('confluence', 'source_agent')],
      failed: ['jira', 'swagger'],
    });
    const parts = list(await api.get(`/workflows/executions/${id}/parts?of=sources`));
    expect(parts.map(({ status }) => status)).toEqual(['completed', 'failed', 'completed', 'failed']);
    const children = list(await api.get(`/executions?parent=${id}`));
    expect(children.map(({ status }) => status).sort()).toEqual(['completed', 'completed', 'failed', 'failed']);
    const { rows } = await db.query(`SELECT id FROM document WHERE id LIKE 'confluence:%' ORDER BY id`);
    expect(rows).toEqual([{ id: 'confluence:1' }, { id: 'confluence:b' }]);
    const saga = accepted(await api.get(`/infrastructure/saga/${id}`), 200).body as { steps: object[] };
    expect(saga).toMatchObject({ saga_id: id, correlation_id, status: 'completed', error_message: null });
    expect(saga.steps).toMatchObject([
      { step_id: 'sources', status: 'completed' },
      { step_id: 'result', status: 'completed' },
      { step_id: 'none', status: 'skipped' },
    ]);
    expectProblem(await api.get(`/infrastructure/saga/${id}`, OTHER), 404, 'not_found');
  });

  test('when no source could be ingested the execution says so, and goes on when it is retried', async ({
    api,
    service,
  }) => {
    await register(api, { source_agent: NOBODY });
    const { execution_id: id } = begun(await api.post('/workflows/run', { sources: ['a', 'b'] }));
    expect(await api.finished(id)).toMatchObject({
      status: 'failed',
      error: { message: 'no source could be ingested', action_id: 'none' },
    });
    const unknown = await api.finished(begun(await api.post('/ingest', { source: 'x' })).execution_id);
    expect(unknown).toMatchObject({ status: 'failed', error: { code: AWAY, action_id: 'fetch' } });
    // A source of which nobody knows an agent is an execution that failed, with the names that were looked for.
    const nowhere = begun(await api.post('/ingest', { source: 'x' }, { 'X-Tenant-ID': 'third' }));
    const failed = await until(async () => {
      const at = `/workflows/executions/${nowhere.execution_id}`;
      const run = (await api.get(at, { 'X-Tenant-ID': 'third' })).body as { status: string; error: object };
      return run.status === 'failed' ? run.error : undefined;
    });
    expect(failed).toMatchObject({
      code: 'service_unknown',
      message: 'none of the services x_agent, source_agent is known: register one of them',
    });
    service.answer(agent);
    await register(api, { source_agent: service.url });
    accepted(await api.post(`/workflows/executions/${unknown.execution_id}/retry`), 202);
    expect(await api.finished(unknown.execution_id)).toMatchObject({
      status: 'completed',
      output: { documents: ['x:1', 'x:b'] },
    });
  });

  test('a workflow is begun by its id or name, and what cannot be begun is refused with nothing begun', async ({
    api,
    db,
  }) => {
    const workflow = await api.createWorkflow({
      name: 'document-analysis',
      parameters: [{ name: 'url', type: 'string' }],
      actions: [{ action_id: 'a', action_type: 'test_task', config: { url: '{{url}}', given: '{{params.sources}}' } }],
    });
    const parameters = { url: 'https://example.com' };
    const headers = { 'X-Correlation-ID': 'mine' };
    for (const named of [{ workflow_id: workflow }, { workflow_type: 'document-analysis' }]) {
      const answer = await api.post('/workflows/run', { ...named, parameters, sources: ['a'], priority: 7 }, headers);
      const { execution_id: id } = begun(answer);
      expect(answer.body).toEqual({
        status: 'started',
        steps: [{ op: 'execute', source: workflow, status: 'pending' }],
        correlation_id: 'mine',
        saga_id: id,
        execution_id: id,
        links: { ...linksOf(id), saga: `/infrastructure/saga/${id}` },
      });
      const run = await api.finished(id);
      expect(run).toMatchObject({ workflow_id: workflow, priority: 7, output: { a: { ...parameters, given: ['a'] } } });
      expect(accepted(await api.get(`/infrastructure/saga/${id}`), 200).body).toMatchObject({ saga_id: id });
    }
    const runs = async () => (await db.query<{ n: number }>('SELECT count(*)::int AS n FROM run')).rows[0]?.n;
    const before = await runs();
    const refused = async (body: object, status: number, code: string, paths: string[] = []) => {
      const answer = await api.post('/workflows/run', body);
      expectProblem(answer, status, code);
      const { errors = [] } = answer.body as { errors?: Array<{ path: string }> };
      expect(errors.map(({ path }) => path)).toEqual(paths);
    };
    await refused({ workflow_id: 'nothing' }, 404, 'not_found');
    await refused({ workflow_type: 'nothing' }, 404, 'not_found');
    await refused({ workflow_id: workflow }, 400, 'parameter_validation_failed', ['parameters.url']);
    await refused({ sources: [] }, 400, 'invalid_request', ['sources']);
    await refused({ sources: ['a', 'a'] }, 400, 'invalid_request', ['sources']);
    await refused({ sources: ['a b'], priority: 'soon' }, 400, 'invalid_request', ['sources.0', 'priority']);
    await refused({ parameters: { a: 1 } }, 400, 'invalid_request', ['parameters']);
    await refused({ workflow_id: 'a', workflow_type: 'b' }, 400, 'invalid_request', ['workflow_type']);
    expectProblem(await api.post('/ingest', {}), 400, 'invalid_request');
    expectProblem(await api.post('/ingest', { source: 'a', url: 'b' }), 400, 'invalid_request');
    expect(await runs()).toBe(before);
  });
});

describe('an API that is killed while it waits', () => {
  const test = processesTest('redis');

  test('leaves an execution that goes on, and is asked again after its start for the same one', async ({
    api,
    processes,
    service,
  }) => {
    const held: Array<() => void> = [];
    service.answer(() => new Promise((resolve) => held.push(() => resolve({ body: { ready: true } }))));
    const [first] = await Promise.all([processes.start('api'), processes.compose('worker')]);
    await register(api, { reporting: service.url });
    const request = [{ kind: 'generate' }, { 'Idempotency-Key': 'report-1' }] as const;
    const waiting = api.post('/report/request', ...request).catch((error: unknown) => error);
    await until(() => held.length === 1);
    await first.end('SIGKILL');
    expect(await waiting).toBeInstanceOf(Error);
    await processes.compose('api');
    const again = api.post('/report/request', ...request);
    held[0]?.();
    const answer = await again;
    expect({ status: answer.status, body: answer.body }).toEqual({ status: 200, body: { ready: true } });
    expect(answer.headers.get('idempotency-replayed')).toBe('true');
    expect(service.calls).toHaveLength(1);
  });
});
