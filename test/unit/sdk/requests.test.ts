/** What the client sends, what it sends again, and what it makes of the answers, without a service. */
import { describe, expect, test } from 'vitest';
import {
  ApiError,
  type ClientOptions,
  ConnectionError,
  createClient,
  IdempotencyConflictError,
  NotFoundError,
  RateLimitedError,
} from '../../../sdk/src/index.ts';

interface Sent {
  method: string;
  url: string;
  headers: Record<string, string>;
  body: unknown;
  credentials: string | undefined;
}

type Script = Array<Response | Error | ((init: RequestInit) => Promise<Response>)>;

function scripted(script: Script, options: Partial<ClientOptions> = {}) {
  const sent: Sent[] = [];
  const client = createClient({
    url: 'http://service/',
    ...options,
    fetch: async (url, init = {}) => {
      const { method = '', headers, body, credentials } = init;
      sent.push({
        method,
        url: String(url),
        headers: headers as Record<string, string>, // As the client gives them.
        body: typeof body === 'string' ? JSON.parse(body) : undefined,
        credentials,
      });
      const next = script.shift();
      if (next === undefined) throw new Error('nothing more was expected');
      if (next instanceof Error) throw next;
      return typeof next === 'function' ? next(init) : next;
    },
  });
  return { client, sent };
}

const json = (body: unknown, status = 200, headers: Record<string, string> = {}) =>
  new Response(JSON.stringify(body), { status, headers: { 'content-type': 'application/json', ...headers } });
const problem = (status: number, code: string, headers: Record<string, string> = {}) =>
  json({ status, code, detail: `it is ${code}`, errors: [{ path: 'a', message: 'is wrong' }] }, status, headers);

describe('requests', () => {
  test('path, query and body go where the document has them', async () => {
    const { client, sent } = scripted([json({ items: [] }), json({ execution_id: 'e' }, 202)]);
    await client.api.listWorkflows({ name: 'a b', tags: ['x', 'y'], page: 2 });
    await client.api.executeWorkflow({ workflow_id: 'a/b', dry_run: true, body: { parameters: { n: 1 } } });
    expect(sent.map(({ method, url, body }) => ({ method, url, body }))).toEqual([
      { method: 'GET', url: 'http://service/workflows?page=2&name=a+b&tags=x&tags=y', body: undefined },
      { method: 'POST', url: 'http://service/workflows/a%2Fb/execute?dry_run=true', body: { parameters: { n: 1 } } },
    ]);
  });

  test('an empty answer is undefined, and one that is no JSON is a text', async () => {
    const text = new Response('a: 1', { headers: { 'content-type': 'application/yaml' } });
    const { client } = scripted([new Response(null, { status: 204 }), text]);
    expect(await client.api.deleteSchedule({ schedule_id: 's' })).toBeUndefined();
    expect(await client.api.getOpenApiYaml()).toBe('a: 1');
  });

  test('a key, a token that is renewed, or a cookie is sent, with tenant and user', async () => {
    let renewed = 0;
    const token = async () => `t${++renewed}`;
    const key = scripted([json({})], { apiKey: 'k', tenant: 'acme', user: 'ada' });
    const bearer = scripted([json({}), json({})], { token });
    const browser = scripted([json({})], { cookie: true });
    const cookie = scripted([json({})], { cookie: 'orchestrator_session=1' });
    for (const { client } of [key, bearer, bearer, browser, cookie]) await client.api.getHealth();
    expect(key.sent[0]?.headers).toMatchObject({ 'x-api-key': 'k', 'x-tenant-id': 'acme', 'x-user-id': 'ada' });
    expect(bearer.sent.map(({ headers }) => headers['authorization'])).toEqual(['Bearer t1', 'Bearer t2']);
    expect(browser.sent[0]?.credentials).toBe('include');
    expect(cookie.sent[0]?.headers).toMatchObject({ cookie: 'orchestrator_session=1' });
  });
});

describe('repeated requests', () => {
  test('a missing idempotency key is made once and sent with every try', async () => {
    const { client, sent } = scripted([
      new TypeError('fetch failed'),
      problem(503, 'unavailable'),
      json({ task_id: 't' }),
    ]);
    await client.api.assignTask({ body: { task_type: 'wait', params: {} } });
    const keys = sent.map(({ headers }) => headers['idempotency-key']);
    expect(keys).toHaveLength(3);
    expect(keys[0]).toMatch(/^[\da-f]{32}$/);
    expect(new Set(keys).size).toBe(1);
  });

  test('a given key is kept', async () => {
    const { client, sent } = scripted([json({}, 202)]);
    await client.api.executeWorkflow({ workflow_id: 'w' }, { idempotencyKey: 'mine' });
    expect(sent[0]?.headers['idempotency-key']).toBe('mine');
  });

  test('what is neither safe nor has a key is sent once', async () => {
    const { client, sent } = scripted([problem(503, 'unavailable')]);
    await expect(client.api.createWorkflow({ body: {} as never })).rejects.toThrow(ApiError);
    expect(sent).toHaveLength(1);
  });

  test('what another try cannot help is sent once, and what stays unavailable so many times', async () => {
    const rejected = scripted([problem(404, 'not_found')]);
    await expect(rejected.client.api.getWorkflow({ workflow_id: 'w' })).rejects.toThrow(NotFoundError);
    expect(rejected.sent).toHaveLength(1);
    const gone = Array.from({ length: 3 }, () => new TypeError('fetch failed'));
    const { client, sent } = scripted(gone, { maxAttempts: 3 });
    await expect(client.api.getHealth()).rejects.toThrow(ConnectionError);
    expect(sent).toHaveLength(3);
  });

  test('Retry-After is waited for, and one that is too long is left to the caller', async () => {
    const { client, sent } = scripted([problem(429, 'rate_limited', { 'retry-after': '1' }), json({})]);
    const began = Date.now();
    await client.api.getHealth();
    expect(sent).toHaveLength(2);
    expect(Date.now() - began).toBeGreaterThanOrEqual(990);
    const long = scripted([problem(429, 'rate_limited', { 'retry-after': '3600' })]);
    const error = await long.client.api.getHealth().catch((thrown: unknown) => thrown);
    expect(error).toBeInstanceOf(RateLimitedError);
    expect(error).toMatchObject({ retryAfterMs: 3_600_000 });
  });

  test('a signal ends a request, and the wait before the next try', async () => {
    const reason = new Error('enough');
    const stop = new AbortController();
    const hanging = scripted([
      ({ signal }) => new Promise((_, reject) => signal?.addEventListener('abort', () => reject(new Error('aborted')))),
    ]);
    const request = hanging.client.api.getHealth({}, { signal: stop.signal });
    stop.abort(reason);
    await expect(request).rejects.toBe(reason);
    const waiting = scripted([problem(429, 'rate_limited', { 'retry-after': '50' })]);
    const later = new AbortController();
    const retried = waiting.client.api.getHealth({}, { signal: later.signal });
    later.abort(reason);
    await expect(retried).rejects.toBe(reason);
  });

  test('an answer that does not come in time is none', async () => {
    const hang = ({ signal }: RequestInit) =>
      new Promise<Response>((_, reject) => signal?.addEventListener('abort', () => reject(new Error('aborted'))));
    const { client } = scripted([hang], { maxAttempts: 1, timeoutMs: 20 });
    await expect(client.api.getHealth()).rejects.toThrow(ConnectionError);
  });
});

describe('errors', () => {
  test('each code has its class, with what the problem says; an unknown one is an ApiError', async () => {
    const { client } = scripted([
      problem(409, 'idempotency_conflict'),
      problem(418, 'teapot'),
      new Response('<html>', { status: 404 }),
    ]);
    const catching = () =>
      client.api.executeWorkflow({ workflow_id: 'w' }).then(
        () => undefined,
        (error: unknown) => error,
      );
    const conflict = await catching();
    expect(conflict).toBeInstanceOf(IdempotencyConflictError);
    expect(conflict).toMatchObject({
      name: 'IdempotencyConflictError',
      status: 409,
      code: 'idempotency_conflict',
      message: 'it is idempotency_conflict',
      errors: [{ path: 'a', message: 'is wrong' }],
    });
    expect(await catching()).toMatchObject({ name: 'ApiError', status: 418, code: 'teapot' });
    expect(await catching()).toMatchObject({ name: 'ApiError', status: 404, code: 'unknown' });
  });
});

describe('events', () => {
  const stream = (chunks: readonly string[], broken = false) =>
    new Response(
      new ReadableStream({
        pull(controller) {
          const next = chunks[0];
          chunks = chunks.slice(1);
          if (next !== undefined) controller.enqueue(new TextEncoder().encode(next));
          else if (broken) controller.error(new TypeError('terminated'));
          else controller.close();
        },
      }),
      { headers: { 'content-type': 'text/event-stream' } },
    );
  const over = () => new Response(null, { status: 204 });

  test('a stream that breaks goes on after the last event that was whole', async () => {
    const { client, sent } = scripted([
      stream(
        [': here\n\nid: 1\nevent: a\nda', 'ta: {"n":1}\n\nevent: live\ndata: {}\n\nid: 2\nevent: b\ndata: {"n"'],
        true,
      ),
      new TypeError('fetch failed'),
      stream(['id: 2\r\nevent: b\r\ndata: {"n":\r\ndata: 2}\r\n\r\n']),
      over(),
    ]);
    const got: unknown[] = [];
    for await (const event of client.executions.events('e')) got.push(event);
    expect(got).toEqual([
      { id: '1', event: 'a', data: { n: 1 } },
      { id: undefined, event: 'live', data: {} },
      { id: '2', event: 'b', data: { n: 2 } },
    ]);
    expect(sent.map(({ headers }) => headers['last-event-id'])).toEqual([undefined, '1', '1', '2']);
  });

  test('a stream that is rejected, or closed for its credentials, ends with that', async () => {
    const rejected = scripted([problem(404, 'not_found')]);
    await expect(rejected.client.executions.events('e').next()).rejects.toThrow(NotFoundError);
    const closed = scripted([stream(['event: stream.closed\ndata: {"message":"over"}\n\n'])]);
    await expect(closed.client.executions.events('e').next()).rejects.toMatchObject({ code: 'unauthorized' });
  });

  test('a signal ends a stream that says nothing', async () => {
    const stop = new AbortController();
    const silent = ({ signal }: RequestInit) => {
      const body = new ReadableStream({
        start: (controller) => signal?.addEventListener('abort', () => controller.error(signal.reason)),
      });
      return Promise.resolve(new Response(body));
    };
    const { client } = scripted([silent]);
    const next = client.executions.events('e', { signal: stop.signal }).next();
    stop.abort(new Error('enough'));
    await expect(next).rejects.toThrow('enough');
  });
});

describe('runs', () => {
  const accepted = json({ execution_id: 'e' }, 202);

  test('a workflow is found by its exact name, run, waited for over an outage, and gives its output', async () => {
    const page = {
      items: [
        { name: 'orders 2', workflow_id: 'x', status: 'active' },
        { name: 'orders', workflow_id: 'w', status: 'active' },
      ],
    };
    const { client, sent } = scripted([
      json(page),
      accepted.clone(),
      json({ status: 'running' }),
      new TypeError('fetch failed'),
      json({ status: 'completed' }),
      json({ execution_id: 'e', status: 'completed', output: { total: 3 } }),
    ]);
    const run = client.workflows.run('orders', { id: 7 }, { priority: 1 });
    expect(await run.result()).toEqual({ total: 3 });
    expect(sent[1]).toMatchObject({
      url: 'http://service/workflows/w/execute',
      body: { parameters: { id: 7 }, priority: 1 },
    });
  });

  test('one that fails rejects with the execution, and an unknown name is not found', async () => {
    const failed = { execution_id: 'e', status: 'failed', error: { code: 'adapter_failed', message: 'no stock' } };
    const { client } = scripted([accepted.clone(), json({ status: 'failed' }), json(failed)]);
    await expect(client.workflows.run({ id: 'w' }).result()).rejects.toMatchObject({
      name: 'ExecutionFailedError',
      message: 'Execution e is failed: no stock',
      execution: failed,
    });
    const none = scripted([json({ items: [] })]);
    await expect(none.client.workflows.run('orders').result()).rejects.toThrow("No workflow is called 'orders'");
  });

  test('two workflows of one name are not guessed between', async () => {
    const items = ['a', 'b'].map((workflow_id) => ({ name: 'orders', workflow_id, status: 'active' }));
    const { client } = scripted([json({ items })]);
    await expect(client.workflows.run('orders').id()).rejects.toThrow("2 workflows are called 'orders': a, b");
  });
});
