import { afterEach, describe, expect, test } from 'vitest';
import { createRequestLimit, type RequestLimit } from '../../../src/engine/accept/request-limits.ts';
import { clientAddress, type TrustedProxies } from '../../../src/http/middleware/client-address.ts';
import type { ApiLimits } from '../../../src/http/middleware/limits.ts';
import { createStreamSlots } from '../../../src/http/middleware/stream-slots.ts';
import { type Door, openDoor } from '../../support/http-app.ts';

const doors: Door[] = [];
afterEach(async () => {
  await Promise.all(doors.splice(0).map((door) => door.close()));
});

const WINDOW_MS = 60_000;

interface Given {
  requests?: number;
  failures?: number;
  trustProxy?: TrustedProxies;
  apiKeys?: string[];
}

async function open({ requests, failures, trustProxy = 0, apiKeys = [] }: Given) {
  let time = 0;
  const limitOf = (limit: number | undefined): RequestLimit | undefined => {
    if (limit === undefined) return undefined;
    const windows = new Map<string, { count: number; end: number }>();
    const counts = {
      add(key: string) {
        const open = windows.get(key);
        const window = open !== undefined && open.end > time ? open : { count: 0, end: time + WINDOW_MS };
        window.count += 1;
        windows.set(key, window);
        return Promise.resolve({ count: window.count, resetMs: window.end - time });
      },
    };
    return createRequestLimit({ limit, counts, now: () => time });
  };
  const limits: ApiLimits = {
    addressOf: clientAddress(trustProxy),
    requests: limitOf(requests),
    failures: limitOf(failures),
    streams: createStreamSlots(500),
  };
  const door = await openDoor({ apiKeys }, { limits });
  doors.push(door);
  const pass = (ms: number) => {
    time += ms;
  };
  return { door, pass };
}

const statuses = async (answers: Array<Promise<Response>>) => (await Promise.all(answers)).map(({ status }) => status);

describe('requests of one client', () => {
  test('beyond the limit are answered 429 and tell when to come back, and none of them begins anything', async () => {
    const { door, pass } = await open({ requests: 2 });
    const task = { task_type: 'test_task' };
    const first = await door.post('/assign-task', task);
    expect(first.status).toBe(202);
    expect(first.headers.get('ratelimit-policy')).toBe('"default";q=2;w=60');
    expect(first.headers.get('ratelimit')).toBe('"default";r=1;t=60');
    pass(10_000);
    expect((await door.post('/assign-task', task)).headers.get('ratelimit')).toBe('"default";r=0;t=50');
    const refused = await door.post('/assign-task', task);
    expect(refused.status).toBe(429);
    expect(refused.headers.get('retry-after')).toBe('50');
    expect(refused.headers.get('ratelimit')).toBe('"default";r=0;t=50');
    expect(refused.headers.get('content-type')).toContain('application/problem+json');
    expect(await refused.json()).toMatchObject({
      status: 429,
      code: 'rate_limited',
      title: 'Too many requests',
      detail: 'Too many requests; come back in 50 s',
    });
    expect(door.asked.tasks).toHaveLength(2);
    pass(50_000);
    expect((await door.post('/assign-task', task)).status).toBe(202);
  });

  test('are not counted where there is no limit, and liveness and readiness never are', async () => {
    const free = await open({});
    expect((await free.door.fetch('/tasks')).headers.has('ratelimit')).toBe(false);
    const { door } = await open({ requests: 1 });
    await door.fetch('/tasks');
    for (const path of ['/health', '/livez', '/healthz', '/ready', '/readyz', '/health/']) {
      const answer = await door.fetch(path);
      expect([path, answer.status, answer.headers.has('ratelimit')]).toEqual([path, 200, false]);
    }
    expect((await door.fetch('/tasks')).status).toBe(429);
    expect((await door.fetch('/nowhere')).status).toBe(429);
    expect((await door.fetch('/admin/queues')).status).toBe(429);
  });

  test('count for their credentials, whatever else they say of themselves', async () => {
    const { door } = await open({ requests: 1, apiKeys: ['key-of-one', 'key-of-another'] });
    const ask = (key: string, more: Record<string, string> = {}) =>
      door.fetch('/tasks', { headers: { 'x-api-key': key, ...more } });
    expect((await ask('key-of-one')).status).toBe(200);
    expect((await ask('key-of-one', { 'x-tenant-id': 'other', 'x-user-id': 'other' })).status).toBe(429);
    expect((await ask('key-of-one', { 'x-forwarded-for': '203.0.113.9' })).status).toBe(429);
    expect((await ask('key-of-another')).status).toBe(200);
  });

  test('count for their address where nothing is required: a name that is only believed makes no other client', async () => {
    const { door } = await open({ requests: 1 });
    const ask = (headers: Record<string, string>) => door.fetch('/tasks', { headers });
    expect((await ask({ 'x-tenant-id': 'a', 'x-user-id': 'a' })).status).toBe(200);
    expect((await ask({ 'x-tenant-id': 'b', 'x-user-id': 'b' })).status).toBe(429);
    expect((await ask({ 'x-forwarded-for': '203.0.113.9' })).status).toBe(429);
  });

  test('count for the address that a trusted proxy sends', async () => {
    const { door } = await open({ requests: 1, trustProxy: ['127.0.0.0/8'] });
    const from = (address: string) => door.fetch('/tasks', { headers: { 'x-forwarded-for': address } });
    expect(await statuses([from('203.0.113.1'), from('203.0.113.2')])).toEqual([200, 200]);
    expect((await from('203.0.113.1')).status).toBe(429);
    // What the client itself had put there comes first, and counts for nothing.
    expect((await from('198.51.100.7, 203.0.113.1')).status).toBe(429);
  });
});

describe('wrong credentials', () => {
  const ask = (door: Door, key: string) => door.fetch('/tasks', { headers: { 'x-api-key': key } });

  test('are rejected after too many of them, for a while; right ones from that address always pass', async () => {
    const { door, pass } = await open({ failures: 3, apiKeys: ['right', 'also-right'] });
    for (let i = 0; i < 3; i += 1) expect((await ask(door, `wrong${i}`)).status).toBe(401);
    const refused = await ask(door, 'wrong3');
    expect(refused.status).toBe(429);
    expect(refused.headers.get('retry-after')).toBe('60');
    expect(await refused.json()).toMatchObject({ code: 'rate_limited' });
    expect((await door.fetch('/health', { headers: { authorization: 'Bearer wrong4' } })).status).toBe(429);
    // None of them was ever let in before.
    expect((await ask(door, 'right')).status).toBe(200);
    expect((await door.fetch('/tasks', { headers: { authorization: 'Bearer also-right' } })).status).toBe(200);
    expect((await ask(door, 'wrong0')).status).toBe(429);
    pass(60_000);
    expect((await ask(door, 'wrong0')).status).toBe(401);
  });

  test('that come all at once are no more than those that come one by one', async () => {
    const { door } = await open({ failures: 3, apiKeys: ['right'] });
    const answers = await statuses(Array.from({ length: 10 }, (_, n) => ask(door, `wrong${n}`)));
    expect(answers.filter((status) => status === 401)).toHaveLength(3);
    expect(answers.filter((status) => status === 429)).toHaveLength(7);
    expect((await ask(door, 'right')).status).toBe(200);
  });

  test('are those that were presented: who has none is told so each time', async () => {
    const { door } = await open({ failures: 1, apiKeys: ['right'] });
    for (let i = 0; i < 3; i += 1) expect((await door.fetch('/tasks')).status).toBe(401);
    expect((await door.fetch('/health')).status).toBe(200);
    expect((await ask(door, 'right')).status).toBe(200);
  });
});
