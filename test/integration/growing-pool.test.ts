/** Connections are opened one after the other, while somebody waits, and never more than the pool may have. */
import type pg from 'pg';
import { test as base, describe, expect } from 'vitest';
import { freePort } from '../../src/launch/postgres-server.ts';
import { GrowingPool } from '../../src/postgres/growing-pool.ts';
import { until } from '../harness/until.ts';
import { createTestDatabase } from '../support/servers.ts';

const LIMIT = 5;

const test = base
  .extend('url', async ({ onTestFinished: _ }, { onCleanup }) => {
    const database = await createTestDatabase();
    onCleanup(() => database.drop());
    return database.url;
  })
  .extend('pool', async ({ url }, { onCleanup }) => {
    const pool = new GrowingPool({ connectionString: url, max: LIMIT, idleTimeoutMillis: 200 });
    const taken = new Set<pg.PoolClient>();
    pool.on('acquire', (client) => taken.add(client)).on('release', (_error, client) => taken.delete(client));
    // A test that fails gives nothing back, and a pool ends when it has everything.
    onCleanup(async () => {
      const ended = pool.end();
      for (const client of taken) client.release();
      await ended;
    });
    return pool;
  });

/** Takes them all and resolves when each has been given one, to what gives them back. */
async function held(pool: pg.Pool, count: number): Promise<() => void> {
  const clients = await Promise.all(Array.from({ length: count }, () => pool.connect()));
  return () => {
    for (const client of clients) client.release();
  };
}

describe('a pool', () => {
  test('does a burst of statements over two connections while its patience lasts', async ({ url }) => {
    const pool = new GrowingPool({ connectionString: url, max: LIMIT }, 3_600_000);
    const answers = await Promise.all(Array.from({ length: 50 }, (_, n) => pool.query('SELECT $1::int AS n', [n])));
    expect(answers.map(({ rows }) => rows[0].n)).toEqual(Array.from({ length: 50 }, (_, n) => n));
    expect(pool.totalCount).toBe(2);
    await pool.end();
  });

  test('grows to its limit while somebody waits, and no further', async ({ pool }) => {
    const release = await held(pool, LIMIT);
    expect(pool.totalCount).toBe(LIMIT);
    const waiting = pool.query('SELECT 1');
    await until(() => pool.waitingCount === 1);
    expect(pool.totalCount).toBe(LIMIT);
    release();
    await waiting;
    expect(pool.limit).toBe(LIMIT);
  });

  test('grows when a transaction asks for a second connection of the same pool', async ({ pool }) => {
    const inside = async () => {
      const client = await pool.connect();
      await client.query('BEGIN');
      await pool.query('SELECT 1');
      await client.query('COMMIT');
      client.release();
    };
    await Promise.all([inside(), inside()]);
    expect(pool.totalCount).toBeGreaterThan(2);
  });

  test('grows for the second of two that ask at once for the one that is free', async ({ url }) => {
    // Patient beyond what it takes to connect on a slow machine, so that exactly one is opened.
    const pool = new GrowingPool({ connectionString: url, max: LIMIT }, 2_000);
    const busy = await pool.connect();
    (await pool.connect()).release();
    expect(pool.idleCount).toBe(1);
    const both = await Promise.all([pool.connect(), pool.connect()]);
    expect(pool.totalCount).toBe(3);
    for (const client of [busy, ...both]) client.release();
    await pool.end();
  });

  test('replaces one that is closed while somebody waits', async ({ pool }) => {
    const clients = await Promise.all(Array.from({ length: LIMIT }, () => pool.connect()));
    const waiting = pool.connect();
    clients.pop()?.release(true);
    for (const client of [await waiting, ...clients]) client.release();
  });

  test('that has shrunk grows anew from there', async ({ pool }) => {
    (await held(pool, LIMIT))();
    await until(() => pool.options.max === 2);
    const release = await held(pool, 2);
    const third = pool.connect();
    expect(pool.waitingCount).toBe(1);
    (await third).release();
    release();
  });

  test('tells everybody who asks that the server is away', async ({ url }) => {
    const nowhere = new URL(url);
    nowhere.port = String(await freePort());
    const pool = new GrowingPool({ connectionString: nowhere.href, max: LIMIT });
    const answers = await Promise.allSettled(Array.from({ length: 20 }, () => pool.query('SELECT 1')));
    expect(new Set(answers.map(({ status }) => status))).toEqual(new Set(['rejected']));
    await pool.end();
  });

  test('of one connection stays one', async ({ url }) => {
    const pool = new GrowingPool({ connectionString: url, max: 1 });
    await Promise.all(Array.from({ length: 5 }, () => pool.query('SELECT pg_sleep(0.03)')));
    expect(pool.totalCount).toBe(1);
    await pool.end();
  });
});
