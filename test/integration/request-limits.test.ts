import { randomBytes } from 'node:crypto';
import { describe, expect } from 'vitest';
import { examine } from '../../src/compose/doctor.ts';
import { loadConfig } from '../../src/config/config.ts';
import { makeApiKey } from '../../src/features/access/api-key-text.ts';
import { until } from '../harness/until.ts';
import { onBothBackends } from '../support/fixtures.ts';
import { hmacToken, SECRET } from '../support/tokens.ts';

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

  test('thirty guesses from the address of a load balancer lock nobody out: keys and tokens that are right always pass', async ({
    stack,
  }) => {
    const environment = { API_KEY: 'right-key,other-key', JWT_SECRET: SECRET, HOST: '127.0.0.1' };
    const one = await stack.add('api', environment);
    const other = await stack.add('api', environment);
    const ask = (port: number, headers: Record<string, string>) =>
      fetch(`http://127.0.0.1:${port}/tasks`, { headers: { 'x-forwarded-for': '203.0.113.7', ...headers } });
    const guess = async (n: number) =>
      (
        await ask(n % 2 === 0 ? one.port : other.port, {
          'x-api-key': n % 3 === 0 ? makeApiKey(randomBytes) : `guess-${n}`,
        })
      ).status;
    const made = await fetch(`http://127.0.0.1:${one.port}/api-keys`, {
      method: 'POST',
      headers: { 'x-api-key': 'right-key', 'content-type': 'application/json' },
      body: JSON.stringify({ name: 'import', roles: ['viewer'] }),
    });
    const { key } = (await made.json()) as { key: string };
    const guesses = [];
    for (let n = 0; n < 40; n += 1) guesses.push(await guess(n));
    expect(guesses).toEqual([...Array<number>(30).fill(401), ...Array<number>(10).fill(429)]);
    const token = hmacToken({ sub: 'anna', exp: Math.floor(Date.now() / 1_000) + 600, tenant_id: 'acme' });
    for (const { port } of [one, other]) {
      for (const headers of [{ 'x-api-key': 'other-key' }, { 'x-api-key': key }, { authorization: `Bearer ${token}` }])
        expect((await ask(port, headers)).status).toBe(200);
      expect((await ask(port, { 'x-api-key': 'guess-1' })).status).toBe(429);
    }
    // Nobody had said that there is a load balancer: an operator is told so, once for each process.
    const said = stack.log.lines.filter(({ event }) => event === 'forwarded_for_untrusted');
    expect(said).toHaveLength(2);
    expect(said[0]?.fields).toMatchObject({ peer: '127.0.0.1', problem: expect.stringContaining('TRUST_PROXY') });
    // They would write what they have counted into the tables of the next test.
    await Promise.all([one.stop(), other.stop()]);
  });

  test('an X-Forwarded-For of an untrusted peer is said at the next start and by the doctor, and not where the peer is trusted', async ({
    stack,
    db,
  }) => {
    await db.query('DELETE FROM metric_total');
    const told = () => stack.log.lines.filter(({ event }) => event === 'proxy_setup').length;
    const examined = async () => {
      const config = loadConfig(stack.environment, { cwd: stack.folder });
      const found = await examine({ config, databaseUrl: stack.databaseUrl, repair: false, days: 1, confirmMs: 1 });
      return found.find(({ check }) => check === 'forwarded_for')?.status;
    };
    const ask = ({ port }: { port: number }) =>
      fetch(`http://127.0.0.1:${port}/tasks`, { headers: { 'x-forwarded-for': '203.0.113.7' } });
    const trusting = await stack.add('api', { TRUST_PROXY: 'loopback' });
    await ask(trusting);
    await trusting.stop();
    expect([await examined(), told()]).toEqual(['ok', 0]);
    const another = await stack.add('api');
    await ask(another);
    // What it has counted is written when it ends, if not before.
    await another.stop();
    expect(await examined()).toBe('warning');
    await stack.add('api');
    await until(() => told() === 1);
  });
});
