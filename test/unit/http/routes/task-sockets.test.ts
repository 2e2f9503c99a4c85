import { once } from 'node:events';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { type AddressInfo, connect } from 'node:net';
import { afterEach, expect, test } from 'vitest';
import type { Role } from '../../../../src/domain/access.ts';
import type { TaskState } from '../../../../src/engine/deliver/task-states.ts';
import { createRunFollower } from '../../../../src/engine/follow/follow-run.ts';
import type { AuditEvent } from '../../../../src/engine/ports/audit.ts';
import { createIdentify, type Identify } from '../../../../src/http/auth/identify.ts';
import type { FindApiKey } from '../../../../src/http/auth/made-keys.ts';
import { clientAddress } from '../../../../src/http/middleware/client-address.ts';
import { createStreamSlots } from '../../../../src/http/middleware/stream-slots.ts';
import { attachTaskSockets, type TaskSocketsDeps } from '../../../../src/http/routes/task-sockets.ts';
import { createHttpServer } from '../../../../src/http/server/server.ts';
import { createTestLog } from '../../../harness/test-log.ts';
import { until } from '../../../harness/until.ts';
import { AT, fakeRunEvents } from '../../../support/fake-run-events.ts';
import { openSocket } from '../../../support/task-socket.ts';

const closing: Array<() => Promise<void>> = [];
afterEach(async () => {
  for (const close of closing.splice(0)) await close();
});

const PENDING: TaskState = { status: 'pending', final: false, progress: null, message: null, at: new Date(AT) };

type DoorConfig = Partial<TaskSocketsDeps['config']> & { apiKeys?: readonly string[] };

async function door({ apiKeys = [], ...config }: DoorConfig = {}, instead: Partial<TaskSocketsDeps> = {}) {
  const events = fakeRunEvents('r');
  const states = new Map<string, TaskState>([['default/r', PENDING]]);
  const follower = createRunFollower(events, { pollMs: 5 });
  const server = createHttpServer((_request, response) => response.end('http'));
  const sockets = attachTaskSockets(server, {
    identify: createIdentify({ required: apiKeys.length > 0, apiKeys }),
    config: { corsOrigins: [], ...config },
    events: follower,
    states: { read: async (tenantId, runId) => states.get(`${tenantId}/${runId}`) },
    clock: { now: () => new Date() },
    inTenant: (_caller, work) => work(),
    log: createTestLog(),
    ...instead,
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo; // It listens on a port.
  const close = async () => {
    follower.close();
    await sockets.close();
    if (!server.listening) return;
    server.close();
    await once(server, 'close');
  };
  closing.push(close);
  const url = `http://127.0.0.1:${port}`;
  const be = (state: Partial<TaskState>) => {
    states.set('default/r', { ...PENDING, ...states.get('default/r'), ...state });
    events.add('r', 'task.retrying');
  };
  const finish = () => {
    states.set('default/r', { ...PENDING, status: 'completed', final: true, progress: 100 });
    events.end('r', 'run.completed');
  };
  return {
    url,
    port,
    be,
    finish,
    states,
    events,
    server,
    close,
    open: (path = '/ws/task/r', options = {}) => openSocket(`${url}${path}`, options),
  };
}

const HEADERS = { 'x-api-key': 'k1' };

test('tells how the task stands at once, then every change, and closes after the end; with a slash too', async () => {
  const { open, be, finish, url } = await door();
  const clients = [open(), open('/ws/task/r/'), open('/ws/task/r?x=1')];
  await until(() => clients.every(({ messages }) => messages.length === 1));
  expect(clients[0]?.messages).toEqual([
    { task_id: 'r', status: 'pending', progress: null, message: null, timestamp: AT },
  ]);
  be({ status: 'running', progress: 40, message: 'half way' });
  await until(() => clients.every(({ messages }) => messages.length === 2));
  expect(clients[1]?.messages[1]).toMatchObject({ status: 'running', progress: 40, message: 'half way' });
  expect(await (await fetch(url)).text()).toBe('http');
  finish();
  for (const client of clients) {
    expect(await client.ended()).toBe(1000);
    expect(client.messages.at(-1)).toMatchObject({ status: 'completed', progress: 100, final: true });
    expect(client.messages.filter(({ final }) => final === true)).toHaveLength(1);
  }
});

test("a task that has ended is told once; one that is not there, or another tenant's, is an error", async () => {
  const { open, finish, states } = await door();
  finish();
  const ended = open();
  expect(await ended.ended()).toBe(1000);
  expect(ended.messages).toHaveLength(1);
  states.set('another/s', PENDING);
  for (const path of ['/ws/task/unknown', '/ws/task/s']) {
    const client = open(path);
    expect(await client.ended()).toBe(4404);
    expect(client.messages).toMatchObject([{ error: 'Task not found', code: 'not_found', final: true }]);
  }
  const theirs = open('/ws/task/s', { headers: { 'x-tenant-id': 'another' } });
  await until(() => theirs.messages.length === 1);
  expect(theirs.messages[0]).toMatchObject({ status: 'pending' });
});

test('who may not see executions sees no task', async () => {
  const identity = (roles: Role[]): ReturnType<Identify> => ({
    caller: { tenantId: 'default', userId: 'u', correlationId: undefined, traceId: 't', parentSpanId: undefined },
    access: { means: 'jwt', roles, scopes: undefined },
  });
  const { open } = await door(
    {},
    { identify: (request) => identity(request.get('x-role') === 'viewer' ? ['viewer'] : ['worker']) },
  );
  expect(await open().ended()).toBe(403);
  const viewer = open('/ws/task/r', { headers: { 'x-role': 'viewer' } });
  await until(() => viewer.messages.length === 1);
});

test('who may not come in through HTTP may not come in here; a browser names its key as a subprotocol', async () => {
  const { open } = await door({ apiKeys: ['k1'] });
  expect(await open().ended()).toBe(401);
  expect(await open('/ws/task/r', { headers: { 'x-api-key': 'no' } }).ended()).toBe(401);
  expect(await open('/ws/task/r', { protocols: ['bearer', 'no'] }).ended()).toBe(401);
  expect(await open('/ws/task/r?token=k1').ended()).toBe(401);
  const good = [
    open('/ws/task/r', { headers: HEADERS }),
    open('/ws/task/r', { headers: { authorization: 'Bearer k1' } }),
  ];
  const browser = open('/ws/task/r', { protocols: ['bearer', 'k1'] });
  await until(() => [...good, browser].every(({ messages }) => messages.length === 1));
  expect(browser.protocol()).toBe('bearer');
  // The key speaks for its own tenant, whatever the headers say.
  const claiming = open('/ws/task/r', { headers: { ...HEADERS, 'x-tenant-id': 'another' } });
  await until(() => claiming.messages.length === 1);
  expect(claiming.messages[0]).toMatchObject({ status: 'pending' });
});

test('who is not let in is in the audit: nobody known in nobody’s chain, who may not in its own', async () => {
  const events: AuditEvent[] = [];
  const audit = { denied: (event: AuditEvent) => void events.push(event) };
  const identity: ReturnType<Identify> = {
    caller: { tenantId: 'acme', userId: 'u', correlationId: undefined, traceId: 't', parentSpanId: undefined },
    access: { means: 'jwt', credential: 'sub u', roles: ['worker'], scopes: undefined },
  };
  const { open } = await door({ apiKeys: ['k1'] }, { audit });
  expect(await open('/ws/task/r', { headers: { 'x-api-key': 'no', 'x-request-id': 'q1' } }).ended()).toBe(401);
  expect(await open('/ws/task/r', { headers: { ...HEADERS, origin: 'https://evil.example' } }).ended()).toBe(403);
  const { open: openAs } = await door({}, { audit, identify: () => identity });
  expect(await openAs().ended()).toBe(403);
  const task = { action: 'watchTask', permission: 'executions:read', resource_type: 'task', resource_id: 'r' };
  expect(events).toMatchObject([
    { ...task, tenant_id: '', actor: 'unknown', status: 401, reason: 'unauthorized', request_id: 'q1' },
    { ...task, tenant_id: '', actor: 'unknown', status: 403, reason: 'forbidden', address: '127.0.0.1' },
    { ...task, tenant_id: 'acme', actor: 'u', means: 'jwt', credential: 'sub u', status: 403 },
  ]);
  expect(JSON.stringify(events)).not.toContain('"no"');
});

test('the limit of requests counts sockets too', async () => {
  let count = 0;
  const limits = {
    addressOf: clientAddress(0),
    requests: {
      over: () => undefined,
      async take() {
        count += 1;
        return { allowed: count <= 1, limit: 1, remaining: 0, resetSeconds: 17 };
      },
    },
    failures: undefined,
    streams: createStreamSlots(10),
  };
  const { open } = await door({}, { limits });
  const first = open();
  await until(() => first.messages.length === 1);
  expect(await open().ended()).toBe(429);
});

test('pages of other sites are let in only as CORS does', async () => {
  const { open, port } = await door({ corsOrigins: ['https://console.example'] });
  expect(await open('/ws/task/r', { origin: 'https://evil.example' }).ended()).toBe(403);
  expect(await open('/ws/task/r', { origin: 'null' }).ended()).toBe(403);
  const own = open('/ws/task/r', { origin: `http://127.0.0.1:${port}` });
  const friend = open('/ws/task/r', { origin: 'https://console.example' });
  await until(() => own.messages.length + friend.messages.length === 2);
});

test('there are only so many, other paths are not found, and what is not sane is refused', async () => {
  const { open } = await door({ sockets: { max: 2 } });
  const two = [open(), open()];
  await until(() => two.every(({ messages }) => messages.length === 1));
  expect(await open().ended()).toBe(503);
  two[0]?.leave();
  await until(async () => {
    const third = open();
    await until(() => third.messages.length === 1, { timeoutMs: 200 }).catch(() => undefined);
    return third.messages.length === 1;
  });
  expect(await open('/elsewhere').ended()).toBe(404);
  expect(await open('/ws/task/%zz').ended()).toBe(404);
  expect(await open(`/ws/task/${'x'.repeat(256)}`).ended()).toBe(400);
  expect(await open('/ws/task/r', { headers: { 'x-tenant-id': '\u00e9' } }).ended()).toBe(400);
});

test('says it again when nothing changes', async () => {
  const { open } = await door({ sockets: { repeatMs: 10 } });
  const client = open();
  await until(() => client.messages.length >= 4);
  expect(new Set(client.messages.map(({ status }) => status))).toEqual(new Set(['pending']));
});

test('a reader that takes nothing, and one that does not answer a ping, is let go', async () => {
  const slow = await door({ sockets: { patienceMs: 100, pingMs: 60_000 } });
  // More than the buffers of two sockets hold.
  slow.be({ message: 'x'.repeat(16_000_000) });
  const dead = await door({ sockets: { pingMs: 30 } });
  for (const { port, server } of [slow, dead]) {
    const connected = once(server, 'connection');
    const socket = connect(port, '127.0.0.1');
    const upgrade =
      'Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==';
    socket.write(`GET /ws/task/r HTTP/1.1\r\nHost: x\r\n${upgrade}\r\n\r\n`);
    socket.once('data', () => socket.pause());
    socket.on('error', () => undefined);
    const count = () => new Promise<number>((resolve) => server.getConnections((_error, n) => resolve(n)));
    await connected;
    await until(async () => (await count()) === 0, { what: 'the reader is let go' });
    socket.destroy();
  }
});

test('when the service stops everybody is told so', async () => {
  const { open, close } = await door();
  const client = open();
  await until(() => client.messages.length === 1);
  await close();
  expect(await client.ended()).toBe(1001);
});

test.each(['h2c', 'TLS/1.0', 'x'])(
  'an offer to go on with %s is ignored: the request is answered as any other, with its body',
  async (other) => {
    const { port, server } = await door();
    server.removeAllListeners('request');
    server.on('request', async (request: IncomingMessage, response: ServerResponse) => {
      let body = '';
      for await (const chunk of request) body += String(chunk);
      response.end(`${request.method} ${request.url} ${request.headers['x-more']} ${request.headers.upgrade} ${body}`);
    });
    const socket = connect(port, '127.0.0.1');
    socket.write(
      `POST /a?b=c HTTP/1.1\r\nHost: x\r\nX-More: \u00fc\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: ${other}\r\n`,
      'latin1',
    );
    socket.write('HTTP2-Settings: AAMAAABkAAQAAP__\r\nContent-Length: 10\r\n\r\n12345');
    let heard = '';
    socket.on('data', (chunk: Buffer) => {
      heard += chunk.toString('latin1');
    });
    socket.write('67890');
    await until(() => heard.includes('67890'));
    expect(heard).toMatch(/^HTTP\/1\.1 200 /);
    expect(heard).toContain('POST /a?b=c ');
    expect(heard).toContain(' undefined 1234567890');
    // The connection stays, for the next request.
    heard = '';
    socket.write('GET /next HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n');
    await until(() => heard.includes('GET /next'));
    socket.destroy();
  },
);

test('a socket whose credential is revoked is closed, and the code says why', async () => {
  let revoked = false;
  const directory: FindApiKey = {
    isOne: () => true,
    async find() {
      const access = { means: 'api_key' as const, roles: ['viewer' as const], scopes: undefined };
      return revoked ? undefined : { userId: 'api-key-1', tenantId: 'default', access };
    },
    flush: async () => undefined,
  };
  const identify = createIdentify({ required: true, apiKeys: [], madeKeys: directory });
  const { open, be } = await door({ sockets: { credentialsMs: 5 } }, { identify: identify });
  const socket = open('/ws/task/r', { headers: HEADERS });
  await until(() => socket.messages.length === 1);
  be({ status: 'running' });
  await until(() => socket.messages.length === 2);
  revoked = true;
  expect(await socket.ended()).toBe(4401);
  expect(await open('/ws/task/r', { headers: HEADERS }).ended()).toBe(401);
});
