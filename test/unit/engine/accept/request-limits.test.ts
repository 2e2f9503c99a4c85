import { Registry } from 'prom-client';
import { describe, expect, test, vi } from 'vitest';
import { createRequestLimit, insured, type RequestCounts } from '../../../../src/engine/accept/request-limits.ts';
import { clientAddress, clientOf } from '../../../../src/http/middleware/client-address.ts';
import { createLimitMetrics } from '../../../../src/telemetry/limit-metrics.ts';

/** Counts as a store would, by the clock of the test. */
function counting(now: () => number, windowMs = 60_000) {
  const windows = new Map<string, { count: number; end: number }>();
  let asked = 0;
  const counts: RequestCounts = {
    add(key) {
      asked += 1;
      const open = windows.get(key);
      const window = open !== undefined && open.end > now() ? open : { count: 0, end: now() + windowMs };
      window.count += 1;
      windows.set(key, window);
      return Promise.resolve({ count: window.count, resetMs: window.end - now() });
    },
  };
  return { counts, calls: () => asked };
}

describe('a limit', () => {
  test('lets so many through within a window, says what is left, and starts again', async () => {
    let time = 0;
    const limit = createRequestLimit({ limit: 3, counts: counting(() => time).counts, now: () => time });
    const taken = [];
    for (let i = 0; i < 5; i += 1) {
      taken.push(await limit.take('a'));
      time += 1_500;
    }
    expect(taken.map(({ allowed, remaining, resetSeconds }) => [allowed, remaining, resetSeconds])).toEqual([
      [true, 2, 60],
      [true, 1, 59],
      [true, 0, 57],
      [false, 0, 56],
      [false, 0, 54],
    ]);
    expect(await limit.take('b')).toMatchObject({ allowed: true, remaining: 2 });
    time = 60_000;
    expect(limit.over('a')).toBeUndefined();
    expect(await limit.take('a')).toMatchObject({ allowed: true, remaining: 2, resetSeconds: 60 });
  });

  test('calls the store once for each request, and no more for who has none left', async () => {
    const store = counting(() => 0);
    const limit = createRequestLimit({ limit: 2, counts: store.counts, now: () => 0 });
    for (let i = 0; i < 50; i += 1) await limit.take('a');
    expect(store.calls()).toBe(2);
    expect(limit.over('a')).toMatchObject({ allowed: false, remaining: 0 });
    expect(limit.over('b')).toBeUndefined();
  });

  test('remembers a bounded number of those', async () => {
    const store = counting(() => 0);
    const limit = createRequestLimit({ limit: 1, counts: store.counts, now: () => 0 });
    for (let i = 0; i < 10_001; i += 1) await limit.take(`k${i}`);
    expect(limit.over('k0')).toBeUndefined();
    expect(limit.over('k10000')).toMatchObject({ allowed: false });
  });
});

describe('while the store of the counts is away', () => {
  test('a process counts by itself, says so, and calls the store again after a while', async () => {
    let time = 0;
    let away = true;
    const shared = counting(() => time);
    const add = vi.fn((key: string) => (away ? Promise.reject(new Error('gone')) : shared.counts.add(key)));
    const own = counting(() => time).counts;
    const said: Array<string | undefined> = [];
    const counts = insured({
      shared: { add },
      own,
      timeoutMs: 10_000,
      now: () => time,
      onAway: (error) => void said.push(error?.message),
    });
    const limit = createRequestLimit({ limit: 2, counts, now: () => time });
    expect(await limit.take('a')).toMatchObject({ allowed: true, remaining: 1 });
    expect(await limit.take('a')).toMatchObject({ allowed: true, remaining: 0 });
    expect(await limit.take('a')).toMatchObject({ allowed: false });
    expect(add).toHaveBeenCalledTimes(1);
    expect(said).toEqual(['gone', undefined]);
    away = false;
    time = 5_000;
    expect(await limit.take('b')).toMatchObject({ allowed: true });
    expect(add).toHaveBeenCalledTimes(2);
  });

  test('a store that does not answer delays a request for no longer than that', async () => {
    const counts = insured({
      shared: { add: () => new Promise<never>(() => undefined) },
      own: counting(() => 0).counts,
      timeoutMs: 1,
      now: () => 0,
      onAway: () => undefined,
    });
    expect(await counts.add('a')).toEqual({ count: 1, resetMs: 60_000 });
  });

  test('it is counted', async () => {
    const registry = new Registry();
    const metrics = createLimitMetrics(registry);
    metrics.away();
    metrics.rejected('requests');
    const text = await registry.metrics();
    expect(text).toMatch(/^orchestrator_rate_limit_store_away_total 1$/m);
    expect(text).toMatch(/^orchestrator_requests_limited_total\{limit="requests"\} 1$/m);
  });
});

describe('the address of a client', () => {
  test.each([
    [0, '10.0.0.1', '6.6.6.6', '10.0.0.1'],
    [[], '10.0.0.1', '6.6.6.6, 127.0.0.1', '10.0.0.1'],
    [1, '10.0.0.1', '6.6.6.6, 203.0.113.9', '203.0.113.9'],
    [2, '10.0.0.1', '6.6.6.6, 203.0.113.9', '6.6.6.6'],
    [9, '10.0.0.1', '6.6.6.6', '6.6.6.6'],
    [1, '10.0.0.1', undefined, '10.0.0.1'],
    [['10.0.0.0/8'], '10.0.0.1', '6.6.6.6, 203.0.113.9', '203.0.113.9'],
    [['10.0.0.0/8'], '10.0.0.1', '6.6.6.6, 203.0.113.9, 10.9.9.9', '203.0.113.9'],
    [['10.0.0.0/8'], '192.168.0.1', '6.6.6.6', '192.168.0.1'],
    [['127.0.0.0/8', '::1/128'], '127.0.0.1', '203.0.113.9', '203.0.113.9'],
    [['127.0.0.0/8', '::1/128'], '::1', '203.0.113.9', '203.0.113.9'],
    [['10.0.0.0/8'], '::ffff:10.0.0.1', '203.0.113.9', '203.0.113.9'],
    [['10.0.0.0/8'], '10.0.0.1', 'nonsense', 'nonsense'],
    [['10.0.0.0/8'], '10.0.0.1', ' , ,', '10.0.0.1'],
    [0, undefined, '6.6.6.6', '6.6.6.6'],
    [0, undefined, undefined, 'unknown'],
  ] as const)('trusting %j, from %s with X-Forwarded-For %j, is %s', (trusted, remote, forwarded, expected) => {
    expect(clientAddress(trusted)(remote, forwarded)).toBe(expected);
  });

  test.each([
    ['203.0.113.9', '203.0.113.9'],
    ['::ffff:203.0.113.9', '203.0.113.9'],
    ['2001:db8:1:2:3:4:5:6', '2001:db8:1:2::/64'],
    ['[2001:db8:1:2::9]:4711', '2001:db8:1:2::/64'],
    ['fe80::1%eth0', 'fe80::/64'],
    ['nonsense', 'nonsense'],
    ['x'.repeat(500), 'x'.repeat(64)],
  ])('%s is the client %s', (address, expected) => {
    expect(clientOf(address)).toBe(expected);
  });
});
