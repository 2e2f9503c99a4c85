import { once } from 'node:events';
import { request as httpRequest } from 'node:http';
import { connect } from 'node:net';
import { afterEach, describe, expect, test } from 'vitest';
import { createStreamSlots } from '../../../src/http/middleware/stream-slots.ts';
import { createHttpServer } from '../../../src/http/server/server.ts';
import { type Door, openDoor } from '../../support/http-app.ts';

const doors: Door[] = [];
async function open(...config: Parameters<typeof openDoor>): Promise<Door> {
  const door = await openDoor(...config);
  doors.push(door);
  return door;
}
afterEach(async () => {
  await Promise.all(doors.splice(0).map((door) => door.close()));
});

const TASK = { task_type: 'test_task' };

describe('pages', () => {
  test.each([
    [['loopback'], 'http://localhost:3000', true],
    [['loopback'], 'http://127.0.0.1:5173', true],
    [['loopback'], 'http://[::1]:5173', true],
    [['loopback'], 'http://console.localhost', true],
    [['loopback'], 'https://evil.example', false],
    [['loopback'], 'http://localhost.evil.example', false],
    [['loopback'], 'http://127.0.0.1.evil.example', false],
    [['loopback'], 'null', false],
    [['https://front.example'], 'https://front.example', true],
    [['https://front.example'], 'http://front.example', false],
    [['https://front.example'], 'https://front.example.evil.example', false],
    [['*'], 'https://anything.example', true],
    [[], 'http://localhost:3000', false],
  ])('with %j a page of %s may read and change: %s', async (corsOrigins, origin, may) => {
    const door = await open({ corsOrigins });
    const read = await door.fetch('/tasks', { headers: { origin } });
    expect(read.headers.has('access-control-allow-origin')).toBe(may);
    expect(read.headers.has('access-control-allow-credentials')).toBe(false);
    // A form without a body is sent without a preflight.
    const cancel = await door.fetch('/workflows/executions/run-1/cancel', { method: 'POST', headers: { origin } });
    expect(cancel.status).toBe(may ? 202 : 403);
    expect(door.asked.cancelled).toEqual(may ? ['run-1'] : []);
    expect((await door.post('/assign-task', TASK, { origin })).status).toBe(may ? 202 : 403);
    expect((await door.fetch('/workflows/x', { method: 'DELETE', headers: { origin } })).status).toBe(may ? 404 : 403);
  });

  test('our own pages may, and what is no page', async () => {
    const door = await open({ corsOrigins: [] });
    expect((await door.post('/assign-task', TASK, { origin: door.url })).status).toBe(202);
    expect((await door.post('/assign-task', TASK)).status).toBe(202);
  });

  test('any page may, but none with the cookies of whoever opens it', async () => {
    const door = await open({ corsOrigins: ['*', 'https://front.example'] });
    const ask = async (origin: string) =>
      (await door.post('/assign-task', TASK, { origin, cookie: 'session=1' })).status;
    expect(await ask('https://evil.example')).toBe(403);
    expect(await ask('https://front.example')).toBe(202);
    expect(await ask(door.url)).toBe(202);
  });
});

describe('without authentication, on loopback', () => {
  /** `fetch` sets Host itself. */
  async function statusFor(port: number, host: string): Promise<number> {
    const request = httpRequest({ port, host: '127.0.0.1', path: '/tasks', headers: { host } });
    request.end();
    const [answer] = (await once(request, 'response')) as [{ statusCode: number; resume(): void }];
    answer.resume();
    return answer.statusCode;
  }

  test.each([
    ['localhost', 200],
    ['localhost:8000', 200],
    ['127.0.0.1:8000', 200],
    ['[::1]:8000', 200],
    ['api.localhost:8000', 200],
    ['orchestrator.example', 200],
    ['192.168.0.7:8000', 200],
    ['rebound.evil.example:8000', 403],
    ['localhost.evil.example', 403],
    ['127.0.0.1.evil.example', 403],
    ['a b', 403],
  ])('a request to the name %s is answered %d', async (host, status) => {
    const door = await open({ hostNames: ['localhost', '127.0.0.1', 'orchestrator.example'] });
    expect(await statusFor(door.port, host)).toBe(status);
  });

  test('elsewhere any name will do', async () => {
    const door = await open();
    expect(await statusFor(door.port, 'orchestrator:8000')).toBe(200);
  });
});

describe('what is too much', () => {
  test('an address of more than 8,192 characters is 414, and headers of more than 16 kB are 431', async () => {
    const door = await open();
    const long = (length: number) => `/tasks?x=${'x'.repeat(length - '/tasks?x='.length)}`;
    expect((await door.fetch(long(8_192))).status).toBe(200);
    const refused = await door.fetch(long(8_193));
    expect(refused.status).toBe(414);
    expect(await refused.json()).toMatchObject({ code: 'uri_too_long', status: 414, instance: '/tasks' });
    const socket = connect(door.port, '127.0.0.1');
    socket.write(`GET /tasks HTTP/1.1\r\nHost: x\r\nX-Long: ${'x'.repeat(20_000)}\r\n\r\n`);
    let text = '';
    for await (const chunk of socket) text += String(chunk);
    expect(text).toMatch(/^HTTP\/1\.1 431 /);
    expect(text).toContain('application/problem+json');
  });

  test('connections beyond their number are closed, and those that are open go on', async () => {
    const server = createHttpServer((_request, response) => void response.end('ok'), undefined, 1);
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    const { port } = server.address() as { port: number }; // It listens on a port.
    const first = connect(port, '127.0.0.1');
    await once(first, 'connect');
    const dropped = once(server, 'drop');
    const second = connect(port, '127.0.0.1');
    second.on('error', () => undefined);
    second.resume();
    const closed = once(second, 'close');
    await Promise.all([dropped, closed]);
    first.write('GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n');
    let text = '';
    for await (const chunk of first) text += String(chunk);
    expect(text).toMatch(/^HTTP\/1\.1 200 /);
    server.close();
    await once(server, 'close');
  });

  test('a tenant has so many streams, and each that ends makes room once', () => {
    const places = createStreamSlots(2);
    const first = places.take('a');
    expect([places.take('a'), places.take('a'), places.take('b')].map((place) => place !== undefined)).toEqual([
      true,
      false,
      true,
    ]);
    first?.release();
    first?.release();
    expect(places.take('a')).toBeDefined();
    expect(places.take('a')).toBeUndefined();
  });
});
