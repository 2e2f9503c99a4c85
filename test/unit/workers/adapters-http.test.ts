import { createHash } from 'node:crypto';
import { afterEach, describe, expect, test } from 'vitest';
import { z } from 'zod';
import { assertOk, defineAdapter, NonRetryableError, RetryableError } from '../../../workers/adapter.ts';
import { approveBatches } from '../../../workers/adapters/approve-batches.ts';
import { httpRequest } from '../../../workers/adapters/http-request.ts';
import { serviceCall } from '../../../workers/adapters/service-call.ts';
import { until } from '../../harness/until.ts';
import { type AdapterContextOptions, adapterContext } from '../../support/adapter-context.ts';
import { answerJson, type Handle, type HttpServer, startHttpServer } from '../../support/http-server.ts';
import { failureOf, runAdapter } from '../../support/run-adapter.ts';

const closers: Array<() => Promise<void>> = [];
afterEach(async () => {
  for (const close of closers.splice(0).reverse()) await close();
});
async function serve(handle: Handle): Promise<HttpServer> {
  const server = await startHttpServer(handle);
  closers.push(() => server.close());
  return server;
}
function contextOf(options: AdapterContextOptions = {}) {
  const made = adapterContext(options);
  closers.push(() => made.close());
  return made.context;
}
const echo: Handle = (request, response) => answerJson(response, { path: request.path, body: request.body });

describe('http_request', () => {
  test('calls a URL and gives back status, headers and the JSON body', async () => {
    const server = await serve(echo);
    const config = {
      url: `${server.url}/items?a=1`,
      query: { b: [1, 2], c: null, d: true },
      headers: { 'X-Number': 7 },
    };
    const output = await runAdapter(httpRequest, config, contextOf());
    expect(output).toMatchObject({ status: 200, body: { path: '/items?a=1&b=1&b=2&d=true' } });
    expect(output.headers['content-type']).toBe('application/json');
    expect(server.received[0]).toMatchObject({ method: 'GET', headers: { 'x-number': '7' } });
  });

  test('sends the idempotency key, the correlation id and the trace on', async () => {
    const server = await serve(echo);
    await runAdapter(httpRequest, { url: server.url }, contextOf());
    await runAdapter(httpRequest, { url: server.url, headers: { 'idempotency-KEY': 'own' } }, contextOf());
    expect(server.received[0]?.headers).toMatchObject({
      'idempotency-key': 'run-1.1.action-1',
      'x-correlation-id': 'correlation-1',
      traceparent: expect.stringMatching(/^00-[0-9a-f]{32}-/),
    });
    expect(server.received[1]?.headers['idempotency-key']).toBe('own');
  });

  test.each(['Größe → 5', 'a\r\nX-Role: admin', ''])(
    'the correlation id %j, which no header can have, is not sent and fails nothing',
    async (correlationId) => {
      const server = await serve(echo);
      await runAdapter(httpRequest, { url: server.url }, contextOf({ correlationId }));
      expect(server.received[0]?.headers).not.toHaveProperty('x-correlation-id');
      expect(server.received[0]?.headers).not.toHaveProperty('x-role');
    },
  );

  test.each([
    [{ json: { a: [1] } }, 'POST', '{"a":[1]}', 'application/json'],
    [{ body: { a: 1 }, method: 'PUT' }, 'PUT', '{"a":1}', 'application/json'],
    [{ body: 'plain', headers: { 'Content-Type': 'text/csv' } }, 'POST', 'plain', 'text/csv'],
    [{ json: 1, headers: { 'Content-Type': 'application/vnd.x+json' } }, 'POST', '1', 'application/vnd.x+json'],
  ])('%j is sent by %s', async (config, method, body, type) => {
    const server = await serve(echo);
    await runAdapter(httpRequest, { url: server.url, ...config }, contextOf());
    expect(server.received[0]).toMatchObject({ method, body, headers: { 'content-type': type } });
  });

  test.each([
    ['text/plain', '{"a":1}', undefined, '{"a":1}'],
    ['text/plain', '{"a":1}', 'json', { a: 1 }],
    ['application/json', '{"a":1}', 'text', '{"a":1}'],
    ['application/problem+json; charset=utf-8', '{"a":1}', undefined, { a: 1 }],
    [undefined, '{"a":1}', undefined, { a: 1 }],
    [undefined, 'no json', undefined, 'no json'],
    ['application/json', '', undefined, null],
  ])('an answer of type %s with %s is read as %s', async (type, body, expectAs, expected) => {
    const server = await serve((_request, response) => {
      response.writeHead(200, type === undefined ? {} : { 'content-type': type }).end(body);
    });
    const output = await runAdapter(
      httpRequest,
      { url: server.url, ...(expectAs ? { expect: expectAs } : {}) },
      contextOf(),
    );
    expect(output.body).toEqual(expected);
  });

  test.each([
    [408, RetryableError, 'upstream_error'],
    [425, RetryableError, 'upstream_error'],
    [429, RetryableError, 'upstream_error'],
    [500, RetryableError, 'upstream_error'],
    [503, RetryableError, 'upstream_error'],
    [400, NonRetryableError, 'upstream_rejected'],
    [404, NonRetryableError, 'upstream_rejected'],
    [304, NonRetryableError, 'upstream_rejected'],
  ])('%d ends the attempt with the reason that the service gave', async (status, kind, code) => {
    const server = await serve((_request, response) =>
      answerJson(response, { why: `because ${status}` }, status, { 'retry-after': '7' }),
    );
    const error = await failureOf(runAdapter(httpRequest, { url: server.url }, contextOf()));
    expect(error).toBeInstanceOf(kind);
    expect(error.code).toBe(code);
    expect(error.message).toContain(`answered ${status}`);
    if (status !== 304) expect(error.message).toContain(`because ${status}`);
    if (error instanceof RetryableError) expect(error.retryAfterMs).toBe(7_000);
  });

  test('only the start of a long error is stored', async () => {
    const server = await serve((_request, response) => void response.writeHead(500).end('x'.repeat(100_000)));
    expect((await failureOf(runAdapter(httpRequest, { url: server.url }, contextOf()))).message.length).toBeLessThan(
      2_200,
    );
  });

  test('a network fault can be tried again, what the policy denies cannot', async () => {
    const gone = await startHttpServer(echo);
    await gone.close();
    expect(await failureOf(runAdapter(httpRequest, { url: gone.url }, contextOf()))).toMatchObject({
      name: 'RetryableError',
      code: 'network_error',
    });
    const context = contextOf({ egress: { policy: 'registered' } });
    const denied = await failureOf(runAdapter(httpRequest, { url: gone.url }, context));
    expect(denied).toMatchObject({ name: 'NonRetryableError', code: 'egress_denied' });
    const split = { url: gone.url, headers: { 'X-A': 'b\r\nHost: c' } };
    expect(await failureOf(runAdapter(httpRequest, split, contextOf()))).toMatchObject({
      name: 'NonRetryableError',
      code: 'input_invalid',
    });
  });

  test('the deadline ends a call that hangs', async () => {
    const server = await serve(() => undefined);
    const work = runAdapter(httpRequest, { url: server.url }, contextOf({ signal: AbortSignal.timeout(100) }));
    await expect(work).rejects.toMatchObject({ name: 'TimeoutError' });
  });
});

describe('service_call', () => {
  test('parameters are the body of POST and the query of GET', async () => {
    const server = await serve(echo);
    const context = contextOf({ services: { source_agent: server.url }, egress: { policy: 'none' } });
    const posted = {
      service: 'source_agent',
      endpoint: '/fetch',
      method: 'POST',
      parameters: { url: 'https://example.com/doc.pdf' },
    };
    expect(await runAdapter(serviceCall, posted, context)).toMatchObject({
      status: 200,
      response: { path: '/fetch', body: '{"url":"https://example.com/doc.pdf"}' },
    });
    const got = {
      service: 'source_agent',
      endpoint: '/github/pr',
      method: 'GET',
      parameters: { pr_number: 12, repository: 'a/b', deep: { x: 1 } },
    };
    expect((await runAdapter(serviceCall, got, context)).response).toEqual({
      path: `/github/pr?pr_number=12&repository=a%2Fb&deep=${encodeURIComponent('{"x":1}')}`,
      body: '',
    });
  });

  test('the method is POST with parameters and GET without', async () => {
    const server = await serve(echo);
    const context = contextOf({ services: { s: `${server.url}/base/` } });
    await runAdapter(serviceCall, { service: 's', path: 'a?x=1', query: { y: 2 } }, context);
    await runAdapter(serviceCall, { service: 's', parameters: {} }, context);
    expect(server.received.map(({ method, path }) => `${method} ${path}`)).toEqual([
      'GET /base/a?x=1&y=2',
      'POST /base/',
    ]);
  });

  test('a service is called when its rate limit allows it; a URL and an unknown service have none', async () => {
    const server = await serve(echo);
    const { context, turns, close } = adapterContext({ services: { s: server.url } });
    closers.push(close);
    await runAdapter(serviceCall, { service: 's' }, context);
    await runAdapter(serviceCall, { url: server.url }, context);
    await failureOf(runAdapter(serviceCall, { service: 'unknown' }, context));
    expect(turns).toEqual(['s']);
    const notYet = { ...context, awaitRateLimit: () => Promise.reject(new NonRetryableError('not yet')) };
    await failureOf(runAdapter(serviceCall, { service: 's' }, notYet));
    expect(server.received).toHaveLength(2);
  });

  test.each([
    [
      'a page where JSON is expected',
      { expect: { content_type: 'application/json' } },
      200,
      'text/html',
      '<p>',
      'failed',
    ],
    ['JSON that is broken', {}, 200, 'application/json', '{"a":', 'failed'],
    [
      'an error that says 200',
      { expect: { when: 'has(response.id)' } },
      200,
      'application/json',
      '{"error":1}',
      'failed',
    ],
    [
      'what the condition cannot be asked of',
      { expect: { when: 'response.id > 0' } },
      200,
      'application/json',
      '{}',
      'failed',
    ],
    ['a status that is not expected', { expect: { status: [201] } }, 200, 'application/json', '{}', 'failed'],
    ['an error', {}, 500, 'application/json', '{}', 'failed'],
    ['a plea for patience', {}, 429, 'application/json', '{}', 'answered'],
    ['a refusal', {}, 404, 'application/json', '{}', 'answered'],
  ] as const)('%s ends the attempt, and the service is told apart from the request', async (...given) => {
    const [, config, status, type, body, outcome] = given;
    const server = await serve((_request, response) => {
      response.writeHead(status, { 'content-type': type }).end(body);
    });
    const { context, outcomes, close } = adapterContext({ services: { s: server.url } });
    closers.push(close);
    const error = await failureOf(runAdapter(serviceCall, { service: 's', ...config }, context));
    expect(error.name).toBe(status === 404 ? 'NonRetryableError' : 'RetryableError');
    expect(error.code).toBe(status === 404 ? 'upstream_rejected' : 'upstream_error');
    expect(outcomes).toEqual([outcome]);
  });

  test('half an answer is an error of the service', async () => {
    const server = await serve((_request, response) => {
      response.writeHead(200, { 'content-type': 'application/json', 'content-length': '100' });
      response.write('{"a":1', () => response.destroy());
    });
    const { context, outcomes, close } = adapterContext({ services: { s: server.url } });
    closers.push(close);
    expect((await failureOf(runAdapter(serviceCall, { service: 's' }, context))).code).toBe('network_error');
    expect(outcomes).toEqual(['failed']);
  });

  test('what is expected is good, whatever its status', async () => {
    const server = await serve((_request, response) => {
      response.writeHead(404, { 'content-type': 'application/json; charset=utf-8' }).end('{"none":true}');
    });
    const { context, outcomes, close } = adapterContext({ services: { s: server.url } });
    closers.push(close);
    const expected = { status: [200, 404], content_type: 'application/json', when: 'response.none && status == 404' };
    const got = await runAdapter(serviceCall, { service: 's', expect: expected }, context);
    expect(got).toMatchObject({ status: 404, response: { none: true } });
    expect(outcomes).toEqual(['answered']);
  });

  test.each([
    ['GET', 'refused', 2],
    ['PUT', 'broken', 2],
    ['POST', 'refused', 2],
    ['POST', 'broken', 1],
  ] as const)('%s is sent to another instance where that does no harm: %s', async (method, how, count) => {
    const good = await serve((_request, response) => answerJson(response, { from: 'good' }));
    const broken = await serve((_request, response) => void response.destroy());
    const asked: string[][] = [];
    const { context, outcomes, close } = adapterContext({ services: { s: good.url } });
    closers.push(close);
    const first = how === 'refused' ? 'http://127.0.0.1:1' : broken.url;
    const several: typeof context = {
      ...context,
      acquire: (_name, { besides }) => {
        asked.push([...besides]);
        const baseUrl = besides.length === 0 ? first : good.url;
        return Promise.resolve({ number: asked.length, instanceId: `i${asked.length}`, baseUrl, timeoutSeconds: 5 });
      },
    };
    const call = runAdapter(serviceCall, { service: 's', method, parameters: {} }, several);
    if (count === 2) {
      expect((await call).response).toEqual({ from: 'good' });
      expect(outcomes).toEqual(['failed', 'answered']);
      expect(asked).toEqual([[], ['i1']]);
    } else {
      expect((await failureOf(call)).code).toBe('network_error');
      expect(outcomes).toEqual(['failed']);
    }
  });

  test('a service that takes longer than its own time has failed; a call that was cancelled says nothing', async () => {
    const server = await serve(() => undefined);
    const cancelled = new AbortController();
    const { context, outcomes, close } = adapterContext({ services: { s: server.url }, signal: cancelled.signal });
    closers.push(close);
    const hasty: typeof context = {
      ...context,
      acquire: (_name, { again }) =>
        Promise.resolve(again ? undefined : { number: 1, instanceId: 'a', baseUrl: server.url, timeoutSeconds: 0.05 }),
    };
    expect((await failureOf(runAdapter(serviceCall, { service: 's' }, hasty))).code).toBe('timeout');
    const call = runAdapter(serviceCall, { service: 's' }, context).catch((error: Error) => error.message);
    await until(() => server.received.length === 2);
    cancelled.abort(new Error('cancelled'));
    expect(await call).toBe('cancelled');
    expect(outcomes).toEqual(['failed', 'unclear']);
  });

  test('an unknown service says what would configure it', async () => {
    const error = await failureOf(runAdapter(serviceCall, { service: 'source-agent' }, contextOf()));
    expect(error).toMatchObject({
      name: 'NonRetryableError',
      code: 'service_unknown',
      message: expect.stringContaining('SOURCE_AGENT_URL'),
    });
  });

  test.each(['../admin', '/a/../../admin', '/%2e%2e/admin', 'http://127.0.0.1:1/', '..\\admin'])(
    'the endpoint %s cannot leave the address of the service',
    async (endpoint) => {
      const server = await serve(echo);
      const context = contextOf({ services: { s: `${server.url}/base` } });
      expect((await failureOf(runAdapter(serviceCall, { service: 's', endpoint }, context))).code).toBe(
        'input_invalid',
      );
      expect(server.received).toEqual([]);
    },
  );

  test.each(['//evil.test/x', '@evil.test', ':99/x', '\\\\evil.test'])(
    'the endpoint %s stays at the host of the service',
    async (endpoint) => {
      const server = await serve(echo);
      await runAdapter(serviceCall, { service: 's', endpoint }, contextOf({ services: { s: server.url } }));
      expect(server.received).toHaveLength(1);
    },
  );

  test('a URL in place of a service goes through the policy', async () => {
    const server = await serve(echo);
    expect((await runAdapter(serviceCall, { url: server.url, endpoint: '/x' }, contextOf())).response).toMatchObject({
      path: '/x',
    });
    const error = await failureOf(
      runAdapter(serviceCall, { url: server.url }, contextOf({ egress: { policy: 'registered' } })),
    );
    expect(error.code).toBe('egress_denied');
  });
});

describe('approve_batches', () => {
  test('without ESC_URL it simulates, and says so', async () => {
    const run = (config: unknown) => runAdapter(approveBatches, config, contextOf());
    expect(await run({ batch_ids: [1, 2, 3], auto_approve: true })).toEqual({
      processed_batches: 3,
      approved: 2,
      rejected: 1,
      simulated: true,
    });
    expect(await run({ batch_ids: ['B-12', 'B-13', 'none'] })).toEqual({
      processed_batches: 3,
      approved: 2,
      rejected: 1,
      simulated: true,
    });
    expect(await run({ batch_ids: [] })).toEqual({ processed_batches: 0, approved: 0, rejected: 0, simulated: true });
    expect(await run({ batch_ids: [1, 3], auto_approve: false })).toMatchObject({ approved: 0, rejected: 1 });
  });

  function escSystem(): Promise<HttpServer> {
    const batches: Record<string, object> = {
      '/batches/1': { status: 'open' },
      '/batches/2': { status: 'open', valid: false },
      '/batches/3': { status: 'approved' },
      '/batches/4': { status: 'open' },
      '/batches/a%2Fb': {},
    };
    return serve((request, response) => {
      if (request.path === '/batches/4/approve') answerJson(response, { error: 'sum does not match' }, 409);
      else if (request.method === 'POST') answerJson(response, {});
      else if (batches[request.path]) answerJson(response, batches[request.path]);
      else answerJson(response, { error: 'no such batch' }, 404);
    });
  }

  test('the system at ESC_URL decides, and what it has decided is not requested again', async () => {
    const esc = await escSystem();
    const context = contextOf({ settings: { ESC_URL: `${esc.url}/` }, egress: { policy: 'none' } });
    const output = await runAdapter(approveBatches, { batch_ids: [1, 2, 3, '4', 'a/b'] }, context);
    expect(output).toEqual({ processed_batches: 5, approved: 3, rejected: 2 });
    expect(esc.received.filter(({ method }) => method === 'POST').map(({ path }) => path)).toEqual([
      '/batches/1/approve',
      '/batches/2/reject',
      '/batches/4/approve',
      '/batches/4/reject',
      '/batches/a%2Fb/approve',
    ]);
    const keys = esc.received
      .filter(({ method }) => method === 'POST')
      .map(({ headers }) => headers['idempotency-key']);
    expect(new Set(keys).size).toBe(5);
  });

  test('auto_approve: false decides nothing', async () => {
    const esc = await escSystem();
    const output = await runAdapter(
      approveBatches,
      { batch_ids: [1, 3], auto_approve: false },
      contextOf({ settings: { ESC_URL: esc.url } }),
    );
    expect(output).toEqual({ processed_batches: 2, approved: 1, rejected: 0 });
    expect(esc.received.every(({ method }) => method === 'GET')).toBe(true);
  });

  test('an unknown batch fails with the reason', async () => {
    const esc = await escSystem();
    const error = await failureOf(
      runAdapter(approveBatches, { batch_ids: [99] }, contextOf({ settings: { ESC_URL: esc.url } })),
    );
    expect(error).toMatchObject({
      code: 'upstream_rejected',
      message: expect.stringMatching(/batch 99.*404.*no such batch/),
    });
    expect(approveBatches.config.safeParse({ batch_ids: ['..'] }).success).toBe(false);
  });
});

test('an adapter of twenty lines works', async () => {
  const checksum = defineAdapter({
    type: 'checksum',
    description: 'SHA-256 and size of what a URL answers',
    config: z.strictObject({ url: z.url(), max_bytes: z.int().positive().default(10_000_000) }),
    output: z.object({ sha256: z.string(), bytes: z.int() }),
    async run({ url, max_bytes: maxBytes }, { fetch, signal }) {
      const answer = assertOk(await fetch(url, { signal }));
      const hash = createHash('sha256');
      let bytes = 0;
      for await (const chunk of answer.body ?? []) {
        bytes += chunk.length;
        if (bytes > maxBytes) throw new NonRetryableError(`${url} exceeds ${maxBytes} bytes`);
        hash.update(chunk);
      }
      return { sha256: hash.digest('hex'), bytes };
    },
  });
  const server = await serve((_request, response) => void response.end('hello'));
  const sha256 = createHash('sha256').update('hello').digest('hex');
  expect(await runAdapter(checksum, { url: server.url }, contextOf())).toEqual({ sha256, bytes: 5 });
  expect((await failureOf(runAdapter(checksum, { url: server.url, max_bytes: 4 }, contextOf()))).message).toContain(
    'exceeds 4 bytes',
  );
});
