import { connect } from 'node:net';
import { gzipSync } from 'node:zlib';
import { afterEach, expect, test } from 'vitest';
import { problem as problemSchema } from '../../../src/schemas/answers.ts';
import { type Door, openDoor, UNREACHABLE } from '../../support/http-app.ts';

const doors: Door[] = [];
async function open(...config: Parameters<typeof openDoor>): Promise<Door> {
  const door = await openDoor(...config);
  doors.push(door);
  return door;
}
afterEach(async () => {
  await Promise.all(doors.splice(0).map((door) => door.close()));
});

const JSON_TYPE = { 'content-type': 'application/json' };
const TRACE = '4bf92f3577b34da6a3ce929d0e0e4736';

async function problem(answer: Response): Promise<Record<string, unknown>> {
  expect(answer.headers.get('content-type')).toContain('application/problem+json');
  return (await answer.json()) as Record<string, unknown>;
}

test('every answer carries the ids that were sent, also that of an error', async () => {
  const door = await open();
  const traceparent = `00-${TRACE}-00f067aa0ba902b7-01`;
  for (const path of ['/', '/nowhere']) {
    const answer = await door.fetch(path, {
      headers: { 'x-request-id': 'r-1', 'x-correlation-id': 'order-7', traceparent },
    });
    expect(answer.headers.get('x-request-id')).toBe('r-1');
    expect(answer.headers.get('x-correlation-id')).toBe('order-7');
    expect(answer.headers.get('traceparent')).toBe(traceparent);
  }
});

test('ids are made where none are sent or they are not sane', async () => {
  const door = await open();
  const answer = await door.fetch('/', { headers: { 'x-request-id': 'two words', traceparent: '00-bad' } });
  expect(answer.headers.get('x-request-id')).toMatch(/^[0-9a-f-]{36}$/);
  expect(answer.headers.get('traceparent')).toMatch(/^00-[0-9a-f]{32}-[0-9a-f]{16}-01$/);
  expect(answer.headers.has('x-correlation-id')).toBe(false);
});

test.each([
  'two words',
  'comma,separated',
  '<script>alert(1)</script>',
  '$(reboot)',
  '"quoted"',
  'umläut',
  '../..',
  'x'.repeat(129),
  '',
])('an id like %j is replaced, and goes nowhere', async (sent) => {
  const door = await open();
  const value = Buffer.from(sent, 'utf8').toString('latin1');
  const headers = { 'x-request-id': value, 'x-correlation-id': value };
  const answer = await door.fetch('/nowhere', { headers });
  const made = answer.headers.get('x-request-id');
  expect(made).toMatch(/^[0-9a-f-]{36}$/);
  expect(answer.headers.get('x-correlation-id')).toBe(made);
  if (sent !== '') expect(JSON.stringify(door.logged)).not.toContain(sent);
});

test.each([
  [`00-${TRACE}-00f067aa0ba902b7-01-more`, false],
  [`01-${TRACE}-00f067aa0ba902b7-01-more.of:it`, true],
  [`01-${TRACE}-00f067aa0ba902b7-01-<b>`, false],
  [`01-${TRACE}-00f067aa0ba902b7-01-${'x'.repeat(73)}`, false],
  [`01-${TRACE}-00f067aa0ba902b7-01more`, false],
])('the traceparent %s is taken over: %s', async (traceparent, isTaken) => {
  const door = await open();
  const answer = await door.fetch('/', { headers: { traceparent } });
  expect(answer.headers.get('traceparent') === traceparent).toBe(isTaken);
});

test('a problem has all of its members, and none of them shows the query', async () => {
  const door = await open();
  const answer = await door.fetch('/result/unknown?token=geheim', {
    headers: { traceparent: `00-${TRACE}-00f067aa0ba902b7-01` },
  });
  expect(answer.status).toBe(404);
  expect(await problem(answer)).toEqual({
    type: 'urn:orchestrator:problem:not_found',
    title: 'Not found',
    status: 404,
    detail: 'Task not found',
    instance: '/result/unknown',
    code: 'not_found',
    trace_id: TRACE,
    message: 'Task not found',
    error_code: 'not_found',
  });
});

test.each([
  ['GET', '/result/x', 'Task not found'],
  ['GET', '/workflows/x', 'Workflow not found'],
  ['GET', '/workflows/x/versions', 'Workflow not found'],
  ['GET', '/workflows/x/executions', 'Workflow not found'],
  ['DELETE', '/workflows/x', 'Workflow not found'],
  ['GET', '/workflows/executions/x', 'Execution not found'],
  ['GET', `/result/${'x'.repeat(255)}`, 'Task not found'],
])('%s %s is 404 with the literal detail %s', async (method, path, detail) => {
  const door = await open();
  const answer = await door.fetch(path, { method });
  expect(answer.status).toBe(404);
  expect((await problem(answer))['detail']).toBe(detail);
});

test.each(['search', 'statistics', 'health', 'templates', 'history', 'executions', 'run', 'activity'])(
  "the word '%s' is never the id of a workflow",
  async (word) => {
    const door = await open();
    const created = await door.post('/workflows', {
      name: 'x',
      actions: [{ action_id: 'a', action_type: 'test_task' }],
    });
    expect(created.status).toBe(201);
    for (const [key, stored] of door.workflows)
      door.workflows.set(key.replace(/workflow-1$/, word), { ...stored, id: word });
    const answer = await door.fetch(`/workflows/${word}`);
    // Some of these words have an answer of their own.
    if (answer.status !== 404) expect(await answer.json()).not.toHaveProperty('workflow_id');
  },
);

test('all faults of a body are reported at once, each with its path and unknown fields with the nearest known one', async () => {
  const door = await open();
  const answer = await door.post('/assign-task', {
    task_typ: 'x',
    priority: 0,
    delay_seconds: 'soon',
    callback_url: 'ftp://x',
  });
  expect(answer.status).toBe(400);
  const { code, errors } = await problem(answer);
  expect(code).toBe('invalid_request');
  const paths = (errors as Array<{ path: string; message: string }>).map(({ path }) => path).sort();
  expect(paths).toEqual(['callback_url', 'delay_seconds', 'priority', 'task_typ', 'task_type']);
  expect(JSON.stringify(errors)).toContain("did you mean 'task_type'");
});

test.each([
  ['not JSON', '{"task_type":', 'malformed_json'],
  ['not UTF-8', Buffer.from([0x22, 0xff, 0x22]), 'malformed_json'],
  ['a NUL', '{"task_type":"a\\u0000b"}', 'invalid_request'],
  ['a __proto__ key', '{"task_type":"a","params":{"__proto__":{}}}', 'invalid_request'],
  ['too deep', `{"task_type":"a","params":{"x":${'['.repeat(200)}${']'.repeat(200)}}}`, 'invalid_request'],
  ['a list', '[]', 'invalid_request'],
  ['nothing', '', 'invalid_request'],
])('a body that is %s is 400', async (_what, body, code) => {
  const door = await open();
  const answer = await door.fetch('/assign-task', { method: 'POST', headers: JSON_TYPE, body });
  expect(answer.status).toBe(400);
  expect((await problem(answer))['code']).toBe(code);
  expect(door.asked.tasks).toEqual([]);
});

test.each([
  [{ 'content-type': 'text/plain' }],
  [{ 'content-type': 'application/x-www-form-urlencoded' }],
  [{ 'content-type': 'application/json; charset=utf-16' }],
  [{ ...JSON_TYPE, 'content-encoding': 'gzip' }],
])('a body with %j is 415', async (headers) => {
  const door = await open();
  const text = '{"task_type":"test_task"}';
  const body = 'content-encoding' in headers ? gzipSync(text) : text;
  const answer = await door.fetch('/assign-task', { method: 'POST', headers, body });
  expect(answer.status).toBe(415);
  expect((await problem(answer))['code']).toBe('unsupported_media_type');
});

test.each(['application/json', 'application/json; charset=UTF-8', 'application/vnd.api+json'])(
  'a body of type %s is read',
  async (type) => {
    const door = await open();
    const answer = await door.fetch('/assign-task', {
      method: 'POST',
      headers: { 'content-type': type },
      body: '{"task_type":"test_task"}',
    });
    expect(answer.status).toBe(202);
  },
);

test('a body over the limit is 413 and the connection is closed', async () => {
  const door = await open({ bodyLimitBytes: 100 });
  const answer = await door.post('/assign-task', { task_type: 'test_task', params: { text: 'x'.repeat(200) } });
  expect(answer.status).toBe(413);
  expect(answer.headers.get('connection')).toBe('close');
  expect((await problem(answer))['detail']).toContain('100 bytes');
});

test('a body that does not say its length and never ends is 413 soon after it is over the limit', async () => {
  const door = await open({ bodyLimitBytes: 100 });
  const socket = connect(door.port, '127.0.0.1');
  socket.write(
    'POST /assign-task HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n',
  );
  socket.write(`c8\r\n${' '.repeat(200)}\r\n`);
  let heard = '';
  for await (const chunk of socket) heard += String(chunk);
  expect(heard).toMatch(/^HTTP\/1\.1 413 /);
});

test('a method that a path does not take is 405 and says which it takes', async () => {
  const door = await open();
  const answer = await door.fetch('/assign-task', { method: 'DELETE' });
  expect(answer.status).toBe(405);
  expect(answer.headers.get('allow')).toBe('POST, OPTIONS');
  expect((await problem(answer))['code']).toBe('method_not_allowed');
  const options = await door.fetch('/workflows', { method: 'OPTIONS' });
  expect(options.status).toBe(204);
  expect(options.headers.get('allow')).toBe('POST, GET, HEAD, OPTIONS');
});

test('HEAD answers as GET does, without a body', async () => {
  const door = await open();
  const answer = await door.fetch('/tasks', { method: 'HEAD' });
  expect(answer.status).toBe(200);
  expect(Number(answer.headers.get('content-length'))).toBeGreaterThan(0);
  expect(await answer.text()).toBe('');
});

test('every path also answers with a trailing slash, without a redirect', async () => {
  const door = await open();
  for (const path of ['/tasks/', '/health/', '/docs/', '/workflows/', '/executions/']) {
    expect((await door.fetch(path, { redirect: 'manual' })).status, path).toBe(200);
  }
  expect((await door.post('/assign-task/', { task_type: 'test_task' })).status).toBe(202);
});

test('an unknown path is 404', async () => {
  const door = await open();
  const answer = await door.post('/asign-task', {});
  expect(answer.status).toBe(404);
  expect((await problem(answer))['detail']).toBe('Nothing is served at /asign-task');
});

test('a path that is not valid percent-encoding is 400', async () => {
  const door = await open();
  const answer = await door.fetch('/result/%E0%A4%A');
  expect(answer.status).toBe(400);
});

test('any origin may read and a preflight is answered', async () => {
  const door = await open();
  const origin = 'https://front.example';
  const simple = await door.fetch('/tasks', { headers: { origin } });
  expect(simple.headers.get('access-control-allow-origin')).toBe('*');
  expect(simple.headers.get('access-control-expose-headers')).toContain('Location');
  const preflight = await door.fetch('/assign-task', {
    method: 'OPTIONS',
    headers: { origin, 'access-control-request-method': 'POST', 'access-control-request-headers': 'content-type' },
  });
  expect(preflight.status).toBe(204);
  expect(preflight.headers.get('access-control-allow-methods')).toContain('POST');
  expect(preflight.headers.get('access-control-allow-headers')).toContain('Content-Type');
});

test('with a list of origins only those may', async () => {
  const door = await open({ corsOrigins: ['https://front.example'] });
  const allowed = await door.fetch('/tasks', { headers: { origin: 'https://front.example' } });
  expect(allowed.headers.get('access-control-allow-origin')).toBe('https://front.example');
  const other = await door.fetch('/tasks', { headers: { origin: 'https://evil.example' } });
  expect(other.headers.has('access-control-allow-origin')).toBe(false);
  expect(other.headers.get('vary')).toContain('Origin');
});

test('the board is closed to pages of other sites', async () => {
  const door = await open();
  const read = await door.fetch('/admin/queues', { headers: { origin: 'https://evil.example' } });
  expect(read.headers.has('access-control-allow-origin')).toBe(false);
  const write = await door.fetch('/admin/queues/api/x', {
    method: 'POST',
    headers: { origin: 'https://evil.example' },
  });
  expect(write.status).toBe(403);
  const own = await door.fetch('/admin/queues/api/x', { method: 'POST', headers: { origin: door.url } });
  expect(own.status).toBe(200);
});

test('pages load scripts from here only, and nothing tells what serves them', async () => {
  const door = await open();
  const answer = await door.fetch('/docs');
  expect(answer.headers.get('content-security-policy')).toContain("script-src 'self'");
  expect(answer.headers.get('content-security-policy')).not.toContain('upgrade-insecure-requests');
  expect(answer.headers.get('x-content-type-options')).toBe('nosniff');
  expect(answer.headers.has('x-powered-by')).toBe(false);
});

test('what was not foreseen is 500 without a word about it, and logged in full', async () => {
  const door = await open();
  door.failWith(new Error('relation "run" does not exist: SELECT geheim FROM run'));
  const answer = await door.post('/assign-task', { task_type: 'test_task' });
  expect(answer.status).toBe(500);
  const text = await answer.text();
  expect(text).not.toMatch(/SELECT|relation|at .*\.ts/);
  expect(JSON.stringify(door.logged)).toContain('SELECT geheim');
});

test('a database that cannot be reached is 503 with Retry-After', async () => {
  const door = await open();
  door.failWith(UNREACHABLE);
  const answer = await door.post('/assign-task', { task_type: 'test_task' });
  expect(answer.status).toBe(503);
  expect(Number(answer.headers.get('retry-after'))).toBeGreaterThan(0);
  const body = await problem(answer);
  expect(body['code']).toBe('unavailable');
  expect(JSON.stringify(body)).not.toContain('10.0.0.7');
});

test('health reports both stores, and 503 when one is away', async () => {
  const door = await open();
  const timestamp = '2030-01-01T12:00:00.000Z';
  const rest = { service: 'orchestrator', version: '9.9.9', problems: [], timestamp };
  const healthy = await door.fetch('/health');
  expect(healthy.status).toBe(200);
  expect(await healthy.json()).toEqual({ status: 'healthy', redis: 'connected', database: 'connected', ...rest });
  door.health = { database: true, redis: null };
  expect(await (await door.fetch('/health')).json()).toMatchObject({ status: 'healthy', redis: 'not_configured' });
  door.health = { database: false, redis: false };
  const down = await door.fetch('/health');
  expect(down.status).toBe(503);
  expect(await down.json()).toEqual({ status: 'unhealthy', redis: 'disconnected', database: 'disconnected', ...rest });
  expect((await door.fetch('/livez')).status).toBe(200);
  const ready = await door.fetch('/ready');
  expect(ready.status).toBe(503);
  expect(await ready.json()).toMatchObject({ ready: false, status: 'starting' });
});

test('while nothing can be committed whatever would write is answered 503, reading goes on, and readiness says why', async () => {
  const door = await open();
  door.fault = {
    ...{ kind: 'write_path', source: 'database', class: '42P01', message: 'relation "task" does not exist' },
    ...{ firstAt: 0, lastAt: 0, count: 1 },
  };
  for (const [method, path] of [
    ['POST', '/assign-task'],
    ['POST', '/workflows/w/execute'],
    ['PUT', '/workflows/w'],
    ['DELETE', '/workflows/w'],
  ] as const) {
    const refused = await door.fetch(path, { method, headers: { 'content-type': 'application/json' }, body: '{}' });
    expect(refused.status).toBe(503);
    expect(refused.headers.get('retry-after')).toBe('5');
    const problem = (await refused.json()) as { code: string; detail: string };
    expect(problem.code).toBe('database_not_usable');
    expect(problem.detail).toContain('42P01');
    expect(JSON.stringify(problem)).not.toContain('relation');
  }
  expect((await door.fetch('/executions')).status).toBe(200);
  expect((await door.fetch('/livez')).status).toBe(200);
  const health = await door.fetch('/health');
  expect(health.status).toBe(503);
  expect(await health.json()).toMatchObject({
    status: 'unhealthy',
    database: 'connected',
    problems: ['database_not_usable'],
  });
  const ready = await door.fetch('/ready');
  expect(ready.status).toBe(503);
  expect(await ready.json()).toMatchObject({
    ready: false,
    status: 'unusable',
    problem: { code: 'database_not_usable', class: '42P01', message: 'a table is missing' },
  });
});

test('the root says what this is and where to go', async () => {
  const door = await open({ publicUrl: 'https://flows.example/api/' });
  expect(await (await door.fetch('/')).json()).toMatchObject({
    message: 'AI Agent Orchestrator Service',
    service: 'orchestrator_service',
    status: 'running',
    version: '9.9.9',
    timestamp: '2030-01-01T12:00:00.000Z',
    links: { docs: 'https://flows.example/api/docs' },
  });
});

test('what is not HTTP at all is 400 as a problem', async () => {
  const door = await open();
  const socket = connect(door.port, '127.0.0.1');
  socket.end('HELLO\r\n\r\n');
  let heard = '';
  for await (const chunk of socket) heard += String(chunk);
  expect(heard).toMatch(/^HTTP\/1\.1 400 /);
  expect(heard).toContain('application/problem+json');
});

test('headers that are too large are 431, as a full problem with the ids of every answer', async () => {
  const door = await open();
  const answer = await door.fetch('/tasks', { headers: { 'x-large': 'y'.repeat(20_000) } });
  expect(answer.status).toBe(431);
  const body = problemSchema.parse(await answer.json());
  expect(body).toMatchObject({ status: 431, type: 'urn:orchestrator:problem:invalid_request' });
  expect(answer.headers.get('x-request-id')).toMatch(/^[0-9a-f-]{36}$/);
  expect(answer.headers.get('traceparent')).toContain(body.trace_id);
});
