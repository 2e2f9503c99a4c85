/** The doors for operators that the older platform has: sagas and traces of what really ran. */
import { describe, expect } from 'vitest';
import type { Span, Trace } from '../../src/features/tracing/schemas.ts';
import { createExpiryStore } from '../../src/store/recover/expired.ts';
import { accepted, type Client, field, openClient } from '../harness/client/client.ts';
import { until } from '../harness/until.ts';
import { expectProblem } from '../support/expect-answers.ts';
import { onBothBackends } from '../support/fixtures.ts';
import { echo, failing, QUICK_RETRY, workflow } from '../support/test-task.ts';

// The queue does not matter here.
const ONE = onBothBackends().filter(({ backend }) => backend === 'redis');
const TIME = expect.stringMatching(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/);
const tenant = (api: Client, name: string) => openClient(api.url, { 'x-tenant-id': name });
const read = async (api: Client, path: string) =>
  accepted(await api.get(`/infrastructure/${path}`), 200).body as Record<string, unknown>; // Every answer is an object.

describe.each(ONE)('sagas of the older platform on $backend', ({ test }) => {
  test('a saga is found by the id of its execution, with its steps and how each was undone', async ({ api: any }) => {
    const api = tenant(any, 'sagas');
    const stats = (hours = '') => read(api, `saga/stats${hours}`);
    const NONE = { total_sagas: 0, active_sagas: 0, completed_sagas: 0, failed_sagas: 0, compensated_sagas: 0 };
    expect(await stats()).toEqual({ ...NONE, avg_completion_time: 0, since: null });
    const undo = { compensate: { action_type: 'test_task', config: {} } };
    const plain = await api.run(workflow([echo('one')]));
    const well = await api.run(workflow([echo('one', [], {}, undo)]));
    const undone = await api.execute(
      await api.createWorkflow(
        workflow([echo('order', [], {}, undo), failing('ship', ['order']), echo('mail', ['ship'])]),
      ),
      { correlation_id: 'order-7' },
    );
    await api.ended(undone);
    const nothing = await api.run(workflow([failing('order', [], undo)]));
    const held = await api.execute(
      await api.createWorkflow(
        workflow([{ action_id: 'hold', action_type: 'approval', config: {}, depends_on: [], ...undo }]),
      ),
    );
    const NEVER = { attempts: 0, started_at: null, completed_at: null, error_message: null };
    const ENDED = { attempts: 1, started_at: TIME, completed_at: TIME, error_message: null };
    expect(await read(api, `saga/${undone}`)).toEqual({
      saga_id: undone,
      correlation_id: 'order-7',
      status: 'compensated',
      steps: [
        {
          ...{ step_id: 'order', name: 'order', action_type: 'test_task', status: 'completed', ...ENDED },
          compensation: { action_type: 'test_task', status: 'completed', ...ENDED },
        },
        {
          ...{ step_id: 'ship', name: 'ship', action_type: 'test_task', status: 'failed', ...ENDED },
          ...{ error_message: 'ship failed', compensation: null },
        },
        {
          ...{ step_id: 'mail', name: 'mail', action_type: 'test_task', status: 'upstream_failed', ...ENDED },
          ...{ started_at: null, compensation: null },
          error_message: "'ship' did not complete",
        },
      ],
      created_at: TIME,
      completed_at: TIME,
      error_message: 'ship failed',
    });
    expect(await read(api, `saga/${nothing.execution_id}`)).toMatchObject({
      status: 'failed',
      steps: [{ status: 'failed', compensation: { action_type: 'test_task', status: 'not_begun', ...NEVER } }],
    });
    expect(await stats()).toEqual({
      ...{ total_sagas: 4, active_sagas: 1, completed_sagas: 1, failed_sagas: 1, compensated_sagas: 1 },
      avg_completion_time: expect.any(Number),
      since: well.created_at,
    });
    for (const [who, id] of [
      [api, plain.execution_id],
      [api, 'unknown'],
      [tenant(any, 'other'), undone],
    ] as const) {
      const answer = await who.get(`/infrastructure/saga/${id}`);
      expectProblem(answer, 404, 'not_found');
      expect(answer.body).toMatchObject({ detail: 'Saga not found' });
    }
    expect(await read(tenant(any, 'other'), 'saga/stats')).toMatchObject(NONE);
    expectProblem(await api.get('/infrastructure/saga/stats?hours=0'), 400, 'invalid_request');
    accepted(await api.post(`/workflows/executions/${held}/approve`, { action_id: 'hold' }), 202);
    expect(await api.finished(held)).toMatchObject({ status: 'completed' });
    expect(await stats('?hours=1')).toMatchObject({ total_sagas: 4, active_sagas: 0, completed_sagas: 2 });
  });
});

const CALLER = '00f067aa0ba902b7';
const traced = (trace: string) => ({ traceparent: `00-${trace}-${CALLER}-01` });
/** What each span is, what it is a part of, and how it ended. */
const treeOf = (spans: readonly Span[]) =>
  spans
    .map(({ kind, name, parent_span_id, status, error }) => {
      const parent = spans.find(({ span_id }) => span_id === parent_span_id);
      return [
        `${kind} ${name}`,
        parent === undefined ? parent_span_id : `${parent.kind} ${parent.name}`,
        status,
        error,
      ];
    })
    .sort((a, b) => (String(a) < String(b) ? -1 : 1));

describe.each(ONE)('traces of the older platform on $backend', ({ test }) => {
  const traceOf = async (api: Client, id: string) => (await read(api, `tracing/trace/${id}`)) as unknown as Trace; // As its schema says.
  const settled = async (api: Client, id: string, calls: number) => {
    await until(async () => (await traceOf(api, id)).spans.filter(({ kind }) => kind === 'call').length === calls, {
      what: `${calls} calls are in the trace`,
    });
    return traceOf(api, id);
  };

  test('a trace has the execution, its tasks, attempts and calls, and goes on in the services', async ({
    api: any,
    service,
    db,
  }) => {
    const api = tenant(any, 'traces');
    const other = tenant(any, 'others');
    const trace = '4bf92f3577b34da6a3ce929d0e0e4736';
    const NONE = { total_traces: 0, active_traces: 0, completed_traces: 0, failed_traces: 0 };
    expect(await read(api, 'tracing/stats')).toEqual({ ...NONE, avg_trace_duration: 0, error_rate: 0, since: null });
    let asked = 0;
    service.answer(({ path }) => {
      if (path !== '/analyze') return { body: {} };
      asked += 1;
      return { status: asked === 1 ? 503 : 200 };
    });
    accepted(await api.post('/registry/register', { name: 'analysis_service', base_url: service.url }), 200);
    const hook = await api.post('/webhooks', { url: `${service.url}/hook`, events: ['run.completed'] });
    const of = await api.createWorkflow({
      ...workflow([
        {
          ...{ action_id: 'analyze', action_type: 'service_call', retry: QUICK_RETRY },
          config: { service: 'analysis_service', endpoint: '/analyze?token=hidden', method: 'POST', parameters: {} },
        },
        {
          action_id: 'mail',
          action_type: 'http_request',
          config: { url: `${service.url}/mail` },
          depends_on: ['analyze'],
        },
        echo('done', ['mail']),
      ]),
      name: 'analysis',
    });
    const { host } = new URL(service.url);
    const run = await api.execute(
      of,
      { callback_url: `${service.url}/callback`, correlation_id: 'c-1' },
      traced(trace),
    );
    const ended = await api.finished(run);
    expect(ended).toMatchObject({ status: 'completed', trace_id: trace });
    const found = await settled(api, trace, 5);
    accepted(await api.send('DELETE', `/webhooks/${field(hook, 'webhook_id')}`), 204);
    expect(found).toEqual({
      trace_id: trace,
      status: 'completed',
      duration_ms: expect.any(Number),
      spans: expect.any(Array),
      truncated: false,
    });
    expect(treeOf(found.spans)).toEqual([
      ['attempt analyze #1', 'task analyze', 'error', 'analysis_service answered 503: {}'],
      ['attempt analyze #2', 'task analyze', 'ok', null],
      ['attempt done #1', 'task done', 'ok', null],
      ['attempt mail #1', 'task mail', 'ok', null],
      [`call GET ${host}`, 'attempt mail #1', 'ok', null],
      [`call POST ${host}`, 'run analysis', 'ok', null],
      [`call POST ${host}`, 'run analysis', 'ok', null],
      ['call POST analysis_service', 'attempt analyze #1', 'error', 'answered 503'],
      ['call POST analysis_service', 'attempt analyze #2', 'ok', null],
      ['run analysis', CALLER, 'ok', null],
      ['task analyze', 'run analysis', 'ok', null],
      ['task done', 'run analysis', 'ok', null],
      ['task mail', 'run analysis', 'ok', null],
    ]);
    const spanOf = (kind: string, name: string) => found.spans.find((span) => span.kind === kind && span.name === name);
    const root = spanOf('run', 'analysis');
    expect(root).toEqual({
      ...{ span_id: expect.stringMatching(/^[0-9a-f]{16}$/), parent_span_id: CALLER, kind: 'run', name: 'analysis' },
      ...{ service_name: 'orchestrator', start_time: ended.created_at, end_time: ended.finished_at, status: 'ok' },
      ...{ duration_ms: expect.any(Number), error: null },
      attributes: {
        ...{ execution_id: run, workflow_id: of, workflow_version: 1, status: 'completed', epoch: 1 },
        correlation_id: 'c-1',
      },
    });
    expect(spanOf('call', 'POST analysis_service')).toMatchObject({
      ...{ service_name: 'analysis_service', status: 'error' },
      attributes: {
        ...{ execution_id: run, action_id: 'analyze', epoch: 1, attempt: 1, kind: 'request', method: 'POST', host },
        status_code: 503,
      },
    });
    // Each call named itself to the service as the parent of whatever that does.
    const calls = found.spans.filter(({ kind }) => kind === 'call').map(({ span_id }) => `00-${trace}-${span_id}-01`);
    expect(new Set(service.calls.map(({ headers }) => headers['traceparent']))).toEqual(new Set(calls));
    expect(service.calls).toHaveLength(5);
    expect(JSON.stringify(found)).not.toContain('hidden');

    const inService = { trace_id: trace, status: 'completed', start_time: ended.created_at };
    const duration_ms = root?.duration_ms;
    expect(await read(api, 'tracing/service/analysis_service')).toEqual({
      service_name: 'analysis_service',
      traces: [{ ...inService, duration_ms, calls: 2, errors: 1 }],
      total: 1,
    });
    expect(await read(api, 'tracing/service/orchestrator?limit=1')).toEqual({
      service_name: 'orchestrator',
      traces: [{ ...inService, duration_ms, calls: 1, errors: 0 }],
      total: 1,
    });
    const unknown = { trace_id: trace, status: 'unknown', duration_ms: 0, spans: [], truncated: false };
    expect(await traceOf(other, trace)).toEqual(unknown);
    expect(await read(other, 'tracing/service/analysis_service')).toEqual({
      ...{ service_name: 'analysis_service', traces: [], total: 0 },
    });
    expect(await read(other, 'tracing/stats')).toMatchObject(NONE);

    await api.run(workflow([failing('bad')]));
    const asking = workflow([{ action_id: 'ask', action_type: 'approval', config: {} }]);
    const open = await api.execute(await api.createWorkflow(asking), {}, traced('a'.repeat(32)));
    await until(async () => (await traceOf(api, 'a'.repeat(32))).spans.length === 3, { what: 'the task waits' });
    expect(await traceOf(api, 'a'.repeat(32))).toMatchObject({
      status: 'active',
      spans: [
        { kind: 'run', end_time: null },
        { status: 'active' },
        { kind: 'attempt', name: 'ask #1', end_time: null },
      ],
    });
    expect(await read(api, 'tracing/stats?hours=1')).toEqual({
      ...{ total_traces: 3, active_traces: 1, completed_traces: 1, failed_traces: 1, error_rate: 0.5 },
      ...{ avg_trace_duration: expect.any(Number), since: ended.created_at },
    });
    accepted(await api.post(`/workflows/executions/${open}/approve`, { action_id: 'ask' }), 202);
    await api.finished(open);

    // What is kept for a while goes, and the rest of the trace stays.
    const expiry = createExpiryStore(db);
    await expiry.removeExpired(100);
    expect((await traceOf(api, trace)).spans).toHaveLength(13);
    await db.query(`UPDATE call_span SET expires_at = now() - interval '1 second' WHERE trace_id = $1`, [trace]);
    await expiry.removeExpired(100);
    expect((await traceOf(api, trace)).spans).toHaveLength(8);
  });

  test('a table that refuses fails no task, and what was called in the meantime is written down later', async ({
    api: any,
    service,
    db,
  }) => {
    const api = tenant(any, 'untraced');
    const trace = 'b'.repeat(32);
    const call = { action_id: 'call', action_type: 'http_request', config: { url: service.url } };
    const of = await api.createWorkflow(workflow([call]));
    // A sequence counts although the statement is undone.
    await db.query(`CREATE SEQUENCE refused;
      CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN PERFORM nextval('refused'); RAISE 'no'; END $$;
      CREATE TRIGGER refuse BEFORE INSERT ON call_span FOR EACH ROW EXECUTE FUNCTION refuse()`);
    const run = await api.execute(of, {}, traced(trace));
    expect(await api.finished(run)).toMatchObject({ status: 'completed' });
    const refused = async () => (await db.query<{ is_called: boolean }>('SELECT is_called FROM refused')).rows[0];
    await until(async () => (await refused())?.is_called === true, { what: 'the call is refused' });
    await db.query('DROP TRIGGER refuse ON call_span');
    const { spans } = await settled(api, trace, 1);
    const { span_id } = spans.find(({ kind }) => kind === 'call') ?? {};
    expect(service.calls[0]?.headers['traceparent']).toBe(`00-${trace}-${span_id}-01`);
  });

  test('ids and limits that cannot be are wrong requests', async ({ api }) => {
    const wrong = async (path: string, field: string) => {
      const answer = await api.get(`/infrastructure/tracing/${path}`);
      expectProblem(answer, 400, 'invalid_request');
      expect(answer.body).toMatchObject({ errors: [{ path: field, message: expect.any(String) }] });
    };
    await wrong(`trace/${'x'.repeat(256)}`, 'trace_id');
    await wrong(`service/${'x'.repeat(256)}`, 'service_name');
    for (const limit of ['0', '10001', '1.5', 'many']) await wrong(`service/x?limit=${limit}`, 'limit');
    await wrong('stats?hours=0', 'hours');
    expect(await read(api, `tracing/service/${'x'.repeat(255)}?limit=10000`)).toMatchObject({ traces: [], total: 0 });
  });
});
