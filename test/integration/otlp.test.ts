/** One trace from the request of a client to what services do, as a collector gets it. */
import { randomBytes } from 'node:crypto';
import { afterAll, beforeAll, expect, test } from 'vitest';
import type { Trace } from '../../src/features/tracing/schemas.ts';
import { accepted } from '../harness/client/client.ts';
import { type Service, startService } from '../harness/services/service.ts';
import { until } from '../harness/until.ts';
import { type OtlpReceiver, type ReceivedSpan, startOtlpReceiver } from '../support/otlp-receiver.ts';
import { openStack, type Stack } from '../support/stack.ts';
import { echo, failing, QUICK_RETRY, workflow } from '../support/test-task.ts';

/** Of its own for each try. */
const newTrace = () => randomBytes(16).toString('hex');
const CLIENT = '00f067aa0ba902b7';
const SECRET = 'what-only-the-collector-knows';
let stack: Stack;
let collector: OtlpReceiver;
let service: Service;

beforeAll(async () => {
  collector = await startOtlpReceiver();
  service = await startService();
  stack = await openStack('redis', {
    environment: {
      OTEL_EXPORTER_OTLP_ENDPOINT: collector.url,
      OTEL_EXPORTER_OTLP_HEADERS: `x-token=${SECRET}`,
      OTEL_SERVICE_NAME: 'flows',
      SHUTDOWN_GRACE_SECONDS: '1',
    },
  });
});

afterAll(async () => {
  await stack?.stop();
  await service?.close();
  await collector?.close();
});

const traced = (trace: string, flags = '01') => ({ traceparent: `00-${trace}-${CLIENT}-${flags}` });
const viewOf = async (trace: string) =>
  accepted(await stack.api.get(`/infrastructure/tracing/trace/${trace}`), 200).body as Trace; // As its schema says.
const inTrace = (trace: string) => collector.spans.filter(({ traceId }) => traceId === trace);
/** What the collector got, once it is all that the service itself tells of the trace. */
const whole = async (trace: string) => {
  await until(
    async () => {
      const { spans } = await viewOf(trace);
      const ids = new Set(inTrace(trace).map(({ spanId }) => spanId));
      return spans.length > 0 && spans.every(({ span_id }) => ids.has(span_id));
    },
    { what: `the collector has all of ${trace}` },
  );
  return inTrace(trace);
};
function expectOneTree(spans: readonly ReceivedSpan[]): void {
  const ids = spans.map(({ spanId }) => spanId);
  expect(new Set(ids).size).toBe(ids.length);
  for (const { name, parentId, startMs, endMs } of spans) {
    expect(parentId === CLIENT || ids.includes(parentId), `${name} has the parent ${parentId}`).toBe(true);
    expect(endMs, name).toBeGreaterThanOrEqual(startMs);
  }
}
const called = (spans: readonly ReceivedSpan[], name: string): ReceivedSpan => {
  const found = spans.filter((span) => span.name === name);
  expect(found, name).toHaveLength(1);
  return found[0] as ReceivedSpan; // There is one.
};
/** From a span to what is above it, the span of the client last. */
function pathUp(spans: readonly ReceivedSpan[], from: string): string[] {
  const span = spans.find(({ spanId }) => spanId === from);
  return span === undefined ? [from] : [`${span.kind} ${span.name}`, ...pathUp(spans, span.parentId)];
}

test('a request, its run, tasks, attempts and calls are one trace, with the ids that services got', async () => {
  const trace = newTrace();
  service.calls.splice(0);
  let asked = 0;
  service.answer(({ path }) => {
    if (path !== '/analyze') return { body: {} };
    asked += 1;
    return asked === 1 ? { status: 503, body: { says: 'not now' } } : { body: {} };
  });
  accepted(await stack.api.post('/registry/register', { name: 'analysis_service', base_url: service.url }), 200);
  const child = await stack.api.createWorkflow({
    ...workflow([
      { action_id: 'mail', action_type: 'http_request', config: { url: `${service.url}/mail?token=hidden` } },
    ]),
    name: 'mailing',
  });
  const of = await stack.api.createWorkflow({
    ...workflow([
      {
        ...{ action_id: 'analyze', action_type: 'service_call', retry: QUICK_RETRY },
        config: { service: 'analysis_service', endpoint: '/analyze', method: 'POST', parameters: { what: 'private' } },
      },
      { action_id: 'send', action_type: 'workflow', config: { workflow_id: child }, depends_on: ['analyze'] },
      echo('done', ['send'], { said: 'private' }),
    ]),
    name: 'analysis',
  });
  const run = await stack.api.execute(of, {}, traced(trace));
  expect(await stack.api.finished(run)).toMatchObject({ status: 'completed', trace_id: trace });
  const spans = await whole(trace);
  // The queue's last word comes after that of the run.
  await until(() => inTrace(trace).filter(({ kind }) => kind === 'consumer').length >= 5, {
    what: 'all pick-ups are told',
  });
  expectOneTree(inTrace(trace));

  // One truth: what is stored and what is exported have the same ids, parents and ends.
  const view = await viewOf(trace);
  expect(view.spans).toHaveLength(14);
  for (const stored of view.spans) {
    const { parentId, failed } = spans.find(({ spanId }) => spanId === stored.span_id) ?? {};
    expect({ parentId, failed }, stored.name).toEqual({
      parentId: stored.parent_span_id,
      failed: stored.status === 'error',
    });
  }

  const post = called(spans, 'POST /workflows/{workflow_id}/execute');
  expect(post).toMatchObject({
    ...{ kind: 'server', parentId: CLIENT, failed: false },
    attributes: { 'http.request.method': 'POST', 'http.response.status_code': 202, 'orchestrator.tenant': 'default' },
    resource: { 'service.name': 'flows', 'orchestrator.process': 'api' },
  });
  // A service is told which span its own are below.
  const host = new URL(service.url).host;
  const heard = service.calls.map(({ path, headers }) => ({ path, parent: String(headers['traceparent']).split('-') }));
  expect(heard.map(({ path, parent: [, id, span = '', flags] }) => [path, id, flags, pathUp(spans, span)])).toEqual([
    ...[1, 2].map((attempt) => [
      '/analyze',
      ...[trace, '01'],
      [
        'client POST analysis_service',
        ...[`internal analyze #${attempt}`, 'internal analyze', 'internal analysis', `server ${post.name}`, CLIENT],
      ],
    ]),
    [
      '/mail',
      ...[trace, '01'],
      [
        ...[`client GET ${host}`, 'internal mail #1', 'internal mail', 'internal mailing'],
        ...['internal send #1', 'internal send', 'internal analysis', `server ${post.name}`, CLIENT],
      ],
    ],
  ]);
  expect(called(spans, 'analyze #1')).toMatchObject({
    ...{ failed: true, message: 'analysis_service answered 503: {"says":"not now"}' },
    attributes: { 'orchestrator.execution_id': run, 'orchestrator.attempt': 1, 'error.type': 'upstream_error' },
  });
  expect(called(spans, 'analyze #2')).toMatchObject({
    failed: false,
    attributes: {
      ...{ 'orchestrator.action_id': 'analyze', 'orchestrator.attempt': 2, 'orchestrator.tenant': 'default' },
      'orchestrator.status': 'completed',
    },
    resource: { 'orchestrator.process': 'worker' },
  });
  const failedCall = spans.find(({ kind, failed }) => kind === 'client' && failed);
  expect(failedCall).toMatchObject({
    attributes: { 'http.response.status_code': 503, 'error.type': '503', 'server.address': '127.0.0.1' },
  });

  // The queue: who added the jobs, and who took them up.
  const added = inTrace(trace).filter(({ kind }) => kind === 'producer');
  expect(added.map(({ spanId }) => pathUp(spans, spanId)[1]).sort()).toEqual(
    expect.arrayContaining(['internal analysis', 'internal mailing']),
  );
  const taken = inTrace(trace).filter(
    ({ attributes }) => attributes['orchestrator.action_id'] === 'analyze' && attributes['messaging.message.id'],
  );
  expect(taken).toHaveLength(2);
  for (const { name, links, attributes } of taken) {
    expect(name).toBe('process service_call');
    expect(attributes).toMatchObject({ 'messaging.system': 'bullmq', 'orchestrator.redelivered': false });
    expect(links).toEqual([
      {
        traceId: trace,
        spanId: added.find(
          ({ links: none, parentId }) => none.length === 0 && parentId === called(spans, 'analysis').spanId,
        )?.spanId,
      },
    ]);
  }
  // A commit belongs to all whose outcomes it has: a trace of its own that points at them.
  const commits = () => collector.spans.filter(({ name }) => name === 'commit outcomes');
  const wanted = ['analyze #1', 'analyze #2', 'done #1'].map((name) => called(spans, name).spanId);
  await until(() => wanted.every((id) => commits().some(({ links }) => links.some(({ spanId }) => spanId === id))), {
    what: 'a commit points at each attempt',
  });
  for (const { traceId, parentId } of commits()) expect([traceId === trace, parentId]).toEqual([false, '']);

  const everything = JSON.stringify(collector.spans);
  for (const hidden of ['private', 'hidden', SECRET]) expect(everything).not.toContain(hidden);
  expect(collector.requests.every((headers) => headers['x-token'] === SECRET)).toBe(true);
  expect(JSON.stringify(stack.log.lines)).not.toContain(SECRET);
});

test('what is retried by hand goes on in its trace, below the run that has been told', async () => {
  const trace = newTrace();
  const run = await stack.api.execute(await stack.api.createWorkflow(workflow([failing('bad')])), {}, traced(trace));
  expect(await stack.api.finished(run)).toMatchObject({ status: 'failed' });
  const before = await whole(trace);
  const failed = called(before, 'test');
  expect(failed).toMatchObject({
    failed: true,
    message: 'bad failed',
    attributes: { 'orchestrator.status': 'failed' },
  });
  accepted(await stack.api.post(`/workflows/executions/${run}/retry`, {}), 202);
  await stack.api.finished(run);
  const again = await until(() => inTrace(trace).find(({ name }) => name === 'test (reopened)'), {
    what: 'the end is told',
  });
  expect(again).toMatchObject({
    ...{ parentId: failed.spanId, failed: true, links: [{ traceId: trace, spanId: failed.spanId }] },
    attributes: { 'orchestrator.epoch': 2 },
  });
  expect(again.startMs).toBeGreaterThanOrEqual(failed.endMs);
  expectOneTree(inTrace(trace));
  const attempts = inTrace(trace).filter(({ name }) => name === 'bad #1');
  expect(attempts.map(({ attributes }) => attributes['orchestrator.epoch'])).toEqual([1, 2]);
});

test('a trace that is not sampled goes on to services, and nothing of it is exported', async () => {
  const trace = newTrace();
  const call = { action_id: 'call', action_type: 'http_request', config: { url: service.url } };
  const child = await stack.api.createWorkflow(workflow([call]));
  const sub = { action_id: 'sub', action_type: 'workflow', config: { workflow_id: child } };
  const of = await stack.api.createWorkflow(workflow([sub]));
  const before = service.calls.length;
  const run = await stack.api.execute(of, {}, traced(trace, '00'));
  expect(await stack.api.finished(run)).toMatchObject({ status: 'completed', trace_id: trace });
  expect(service.calls).toHaveLength(before + 1);
  expect(service.calls.at(-1)?.headers['traceparent']).toMatch(new RegExp(`^00-${trace}-[0-9a-f]{16}-00$`));
  const { spans } = await viewOf(trace);
  expect(spans.find(({ kind, parent_span_id }) => kind === 'run' && parent_span_id?.length !== 16)).toBe(undefined);
  // One that comes after it is told, and that one is not.
  const later = newTrace();
  await stack.api.finished(await stack.api.execute(of, {}, traced(later)));
  await whole(later);
  expect(inTrace(trace)).toEqual([]);
  const points = collector.spans.flatMap(({ links }) => links).filter(({ traceId }) => traceId === trace);
  expect(points).toEqual([]);
});

test('without the collector runs go on, and what it did not get is counted', async () => {
  await collector.close();
  const run = await stack.api.assign({ task_type: 'test_task', params: {} });
  expect(await stack.api.ended(run)).toMatchObject({ status: 'completed' });
  const dropped = async () => {
    const { text } = await stack.api.get('/metrics');
    return Number(/^orchestrator_spans_total\{.*result="dropped".*\} (\d+)$/m.exec(text)?.[1]);
  };
  await until(async () => (await dropped()) > 0, { what: 'dropped spans are counted' });
  expect(stack.log.lines.some(({ event }) => event === 'spans_dropped')).toBe(true);
  collector = await startOtlpReceiver();
});
