import { describe, expect } from 'vitest';
import { onBothBackends } from '../support/fixtures.ts';

const LIMIT = 4;

describe.each(onBothBackends({ workers: 0 }))('limits at the door, counted on $backend', ({ test }) => {
  test('hold for all APIs together, and go on by process while the store of the counts is away', async ({
    stack,
    db,
  }) => {
    const environment = { RATE_LIMIT_PER_MINUTE: String(LIMIT), TRUST_PROXY: 'loopback' };
    const one = await stack.add('api', environment);
    const other = await stack.add('api', environment);
    const ask = (port: number, from: string, path = '/tasks') =>
      fetch(`http://127.0.0.1:${port}${path}`, { headers: { 'x-forwarded-for': from } });

    // The first one of each opens the connection over which the others are counted.
    for (const { port } of [one, other]) await ask(port, '203.0.113.9');
    const left: string[] = [];
    for (const port of [one.port, other.port, one.port, other.port]) {
      const answer = await ask(port, '203.0.113.1');
      expect(answer.status).toBe(200);
      left.push(/r=(\d+)/.exec(answer.headers.get('ratelimit') ?? '')?.[1] ?? '');
    }
    expect(left).toEqual(['3', '2', '1', '0']);
    for (const port of [one.port, other.port]) {
      const refused = await ask(port, '203.0.113.1');
      expect(refused.status).toBe(429);
      const again = Number(refused.headers.get('retry-after'));
      expect(again).toBeGreaterThan(0);
      expect(again).toBeLessThanOrEqual(60);
    }
    expect((await ask(one.port, '203.0.113.2')).status).toBe(200);
    expect((await ask(one.port, '203.0.113.1', '/livez')).status).toBe(200);

    if (stack.backend === 'postgres') {
      const { rows } = await db.query<{ count: number }>(`SELECT count FROM request_count ORDER BY count`);
      expect(rows.map(({ count }) => count)).toEqual([1, 2, LIMIT + 1]);
      await db.query('ALTER TABLE request_count RENAME TO request_count_away');
    } else await stack.redis?.call('CLIENT', 'KILL', 'TYPE', 'normal', 'SKIPME', 'yes');
    try {
      for (let n = 0; n < LIMIT + 1; n += 1) expect((await ask(one.port, '203.0.113.3')).status).toBeLessThan(500);
      expect((await ask(one.port, '203.0.113.3')).status).toBe(429);
    } finally {
      if (stack.backend === 'postgres') await db.query('ALTER TABLE request_count_away RENAME TO request_count');
    }
  });

  test('wrong keys are counted for all APIs together, and a good one is let in that was let in before', async ({
    stack,
  }) => {
    const environment = { API_KEY: 'right-key,other-key', AUTH_FAILURES_PER_MINUTE: '3' };
    const one = await stack.add('api', environment);
    const other = await stack.add('api', environment);
    const ask = async (port: number, key: string) =>
      (await fetch(`http://127.0.0.1:${port}/tasks`, { headers: { 'x-api-key': key } })).status;
    expect(await ask(one.port, 'right-key')).toBe(200);
    expect([await ask(one.port, 'w1'), await ask(other.port, 'w2'), await ask(one.port, 'w3')]).toEqual([
      401, 401, 401,
    ]);
    await expect.poll(() => ask(one.port, 'w4')).toBe(429);
    expect(await ask(one.port, 'other-key')).toBe(429);
    expect(await ask(one.port, 'right-key')).toBe(200);
  });
});
