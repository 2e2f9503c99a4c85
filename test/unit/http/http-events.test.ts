/** The stream of events as a matter of HTTP: how it is asked for, what it sends, and whom it lets go. */
import { once } from 'node:events';
import { connect } from 'node:net';
import { afterEach, expect, test } from 'vitest';
import type { Access, Role } from '../../../src/domain/access.ts';
import { createRunFollower, type RunFollower } from '../../../src/engine/follow/follow-run.ts';
import type { Identify } from '../../../src/http/auth/identify.ts';
import { namedCaller } from '../../../src/http/middleware/context.ts';
import { createStreamSlots } from '../../../src/http/middleware/stream-slots.ts';
import { CREDENTIALS_WATCHED_EVERY_MS } from '../../../src/http/middleware/watch-credentials.ts';
import type { HttpConfig } from '../../../src/http/server/core.ts';
import { until } from '../../harness/until.ts';
import { openEvents } from '../../support/event-stream.ts';
import { AT, type FakeRunEvents, fakeRunEvents } from '../../support/fake-run-events.ts';
import { type Door, openDoor } from '../../support/http-app.ts';
import type { HttpDeps } from '../../support/http-deps.ts';

const PATH = '/workflows/executions/r/events';
const closing: Array<() => unknown> = [];
afterEach(async () => {
  for (const close of closing.splice(0)) await close();
});

async function open(
  events: FakeRunEvents,
  streams: HttpConfig['streams'] = {},
  instead: Partial<HttpDeps> = {},
): Promise<{ door: Door; follower: RunFollower; ends: string[] }> {
  const follower = createRunFollower(events, { pollMs: 1, maxReaders: 3 });
  const ends: string[] = [];
  const follow: RunFollower['follow'] = async (reader) => {
    const end = await follower.follow(reader);
    ends.push(end);
    return end;
  };
  const door = await openDoor({ streams: streams ?? {} }, { events: { ...follower, follow }, ...instead });
  closing.push(door.close, follower.close);
  return { door, follower, ends };
}

function ended(): FakeRunEvents {
  const events = fakeRunEvents('r');
  events.add('r', 'task.completed', { actionId: 'a', attempt: 1 });
  events.add('r', 'run.cancelling', { details: { reason: 'two\nlines' } });
  events.end('r', 'run.cancelled');
  return events;
}

test('an event has its id, its name and its data on one line, and says how soon to come back', async () => {
  const { door } = await open(ended());
  const stream = await openEvents(`${door.url}${PATH}`);
  expect(stream.status).toBe(200);
  expect(stream.headers.get('content-type')).toBe('text/event-stream');
  expect(stream.headers.get('cache-control')).toContain('no-store');
  await stream.end();
  expect(stream.retry).toBe(2000);
  const common = { execution_id: 'r', epoch: 1, at: AT };
  const ofRun = { ...common, action_id: null, attempt: null };
  expect(stream.events).toEqual([
    { id: 0, event: 'run.started', data: { ...ofRun, details: null } },
    { id: 1, event: 'task.completed', data: { ...common, action_id: 'a', attempt: 1, details: null } },
    { id: 2, event: 'run.cancelling', data: { ...ofRun, details: { reason: 'two\nlines' } } },
    { id: 3, event: 'run.cancelled', data: { ...ofRun, details: null } },
  ]);
});

test.each<[string, Record<string, string>, string]>([
  ['the header', { 'last-event-id': '2' }, ''],
  ['the query', {}, '?last_event_id=2'],
  ['the header before the query, which an EventSource sends again', { 'last-event-id': '2' }, '?last_event_id=0'],
])('it goes on after %s', async (_what, headers, query) => {
  const { door } = await open(ended());
  const stream = await openEvents(`${door.url}${PATH}${query}`, headers);
  await stream.end();
  expect(stream.ids()).toEqual([3]);
});

test('who has everything of a run that has ended is told to stay away', async () => {
  const { door } = await open(ended());
  expect((await door.fetch(PATH, { headers: { 'last-event-id': '3' } })).status).toBe(204);
});

test.each([
  ['last-event-id', 'x', 'Last-Event-ID'],
  ['last-event-id', '17', 'last_event_id'],
])('%s %s is refused', async (name, value, path) => {
  const { door } = await open(ended());
  const answer = await door.fetch(PATH, { headers: { [name]: value } });
  expect(answer.status).toBe(400);
  expect(await answer.json()).toMatchObject({ code: 'invalid_request', errors: [{ path }] });
});

test('an unknown execution and a foreign cursor are refused', async () => {
  const { door } = await open(ended());
  const json = { headers: { accept: 'application/json' } };
  for (const init of [{}, json, { method: 'HEAD' }]) {
    expect((await door.fetch('/workflows/executions/other/events', init)).status).toBe(404);
  }
  const foreign = await door.fetch(`${PATH}?cursor=eyJ0IjoxfQ`, json);
  expect(await foreign.json()).toMatchObject({ code: 'invalid_request', errors: [{ path: 'cursor' }] });
});

test('whoever asks for JSON first gets a page, all others the stream', async () => {
  const { door } = await open(ended());
  const typeFor = async (accept: string) => {
    const answer = await door.fetch(PATH, { headers: { accept } });
    await answer.text();
    expect(answer.headers.get('vary')).toContain('Accept');
    return answer.headers.get('content-type');
  };
  expect(await typeFor('application/json')).toContain('application/json');
  expect(await typeFor('application/json, text/event-stream;q=0.5')).toContain('application/json');
  expect(await typeFor('text/event-stream')).toBe('text/event-stream');
  expect(await typeFor('*/*')).toBe('text/event-stream');
  expect(await typeFor('text/html')).toBe('text/event-stream');
});

test('HEAD has the headers and does not wait for the end', async () => {
  const { door } = await open(fakeRunEvents('r'));
  const answer = await door.fetch(PATH, { method: 'HEAD' });
  expect([answer.status, answer.headers.get('content-type')]).toEqual([200, 'text/event-stream']);
});

test('while nothing happens a comment comes now and then, and the time of a request is not up', async () => {
  const { door, follower } = await open(fakeRunEvents('r'), { heartbeatMs: 5 });
  const stream = await openEvents(`${door.url}${PATH}`);
  await until(() => stream.comments.length > 3);
  expect(stream.events).toEqual([]);
  follower.close();
  await stream.end();
});

test('a process that stops ends its streams in good order', async () => {
  const events = fakeRunEvents('r');
  const { door, follower } = await open(events);
  const stream = await openEvents(`${door.url}${PATH}`);
  events.add('r', 'task.completed');
  await until(() => stream.events.length === 2);
  follower.close();
  await stream.end();
  expect(stream.ids()).toEqual([0, 1]);
});

test('more streams than this process can have are refused, and a reader that leaves makes room', async () => {
  const { door } = await open(fakeRunEvents('r'));
  const streams = [];
  for (let count = 0; count < 3; count += 1) streams.push(await openEvents(`${door.url}${PATH}`));
  const refused = await door.fetch(PATH);
  expect(refused.status).toBe(503);
  expect(refused.headers.get('retry-after')).not.toBeNull();
  expect(await refused.json()).toMatchObject({ code: 'overloaded' });
  for (const stream of streams) stream.leave();
  const next = await until(async () => {
    const stream = await openEvents(`${door.url}${PATH}`);
    return stream.status === 200 && stream;
  });
  next.leave();
});

test('a reader that takes nothing is let go, has little waiting for it until then, and goes on where it was', {
  timeout: 60_000,
}, async () => {
  const events = fakeRunEvents('r');
  // More than the buffers of two sockets hold.
  const details = { text: 'x'.repeat(50_000) };
  for (let count = 0; count < 800; count += 1) events.add('r', 'task.completed', { details });
  events.end('r', 'run.completed');
  // Longer than a busy machine stands still: the other reader must not be let go too.
  const { door, ends } = await open(events, { patienceMs: 1_000 });
  const socket = connect(door.port, '127.0.0.1');
  closing.push(() => socket.destroy());
  await once(socket, 'connect');
  socket.write(`GET ${PATH} HTTP/1.1\r\nHost: x\r\n\r\n`);
  socket.pause();
  const chunks: Buffer[] = [];
  socket.on('data', (chunk: Buffer) => chunks.push(chunk));
  socket.pause();
  const gone = once(socket, 'close');
  await until(() => events.pages.length > 0);
  // Another reader is served all the while.
  const other = await openEvents(`${door.url}${PATH}?last_event_id=790`);
  await other.end();
  expect(other.events).toHaveLength(11);
  await until(() => ends.includes('left'), { what: 'it is let go', timeoutMs: 30_000 });
  socket.resume();
  await gone.catch(() => undefined);
  const received = [
    ...Buffer.concat(chunks)
      .toString()
      .matchAll(/^id: (\d+)$/gm),
  ].map(([, id]) => Number(id));
  expect(received.length).toBeLessThan(800);
  const last = received.at(-2) ?? 0;
  const back = await openEvents(`${door.url}${PATH}`, { 'last-event-id': String(last) });
  await back.end();
  expect(back.ids()).toEqual(Array.from({ length: 801 - last }, (_, index) => last + 1 + index));
});

test('a tenant may follow only so many at a time, another tenant is not held up, and who leaves makes room', async () => {
  const limits = { addressOf: () => 'x', requests: undefined, failures: undefined, streams: createStreamSlots(1) };
  const { door } = await open(fakeRunEvents('r'), {}, { limits });
  const leave = new AbortController();
  const headers = { accept: 'text/event-stream' };
  const first = await fetch(`${door.url}${PATH}`, { headers, signal: leave.signal });
  expect(first.status).toBe(200);
  const second = await door.fetch(PATH, { headers });
  expect(second.status).toBe(429);
  expect(second.headers.get('retry-after')).toBe('5');
  expect(await second.json()).toMatchObject({ code: 'rate_limited' });
  // A page of them holds nothing.
  expect((await door.fetch(PATH, { headers: { accept: 'application/json' } })).status).toBe(200);
  expect((await door.fetch(PATH, { headers: { ...headers, 'x-tenant-id': 'other' } })).status).not.toBe(429);
  leave.abort();
  await until(async () => {
    const again = new AbortController();
    const answer = await fetch(`${door.url}${PATH}`, { headers, signal: again.signal });
    again.abort();
    return answer.status === 200;
  });
});

/** Credentials that hold until they are told not to. */
function passing(): { identify: Identify; now: { held: boolean; roles: Role[]; away: boolean } } {
  const now = { held: true, roles: ['viewer'] as Role[], away: false };
  const identify: Identify = async (_request, context) => {
    if (now.away) throw new Error('the database is away');
    if (!now.held) return { detail: 'The credentials are not valid', why: 'expired', presented: true };
    const access: Access = { means: 'jwt', roles: now.roles, scopes: undefined };
    return { caller: namedCaller({ userId: 'anna', tenantId: 'default' }, context), access };
  };
  return { identify, now };
}

test.each(['expired', 'without its role'])(
  'a stream whose credential is %s ends, says why, and is not opened again',
  async (how) => {
    expect(CREDENTIALS_WATCHED_EVERY_MS).toBeLessThanOrEqual(30_000);
    const { identify, now } = passing();
    const events = fakeRunEvents('r');
    const { door } = await open(events, { credentialsMs: 5 }, { identify: identify });
    const stream = await openEvents(`${door.url}${PATH}`);
    const told = (event: string) => stream.events.some((one) => one.event === event);
    events.add('r', 'task.started', { actionId: 'a', attempt: 1 });
    await until(() => told('task.started'));
    // While nobody can be asked it goes on.
    now.away = true;
    events.add('r', 'task.completed', { actionId: 'a', attempt: 1 });
    await until(() => told('task.completed'));
    now.away = false;
    if (how === 'expired') now.held = false;
    else now.roles = ['worker'];
    await stream.end();
    expect(stream.all.at(-1)).toMatchObject({ event: 'stream.closed', data: { code: 'unauthorized' } });
    const again = await openEvents(`${door.url}${PATH}`);
    expect(again.status).toBe(how === 'expired' ? 401 : 403);
  },
);
