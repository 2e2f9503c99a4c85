import pg from 'pg';
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest';
import { retryDeadlocks } from '../../src/postgres/retry-deadlocks.ts';
import { openDatabase } from '../../src/store/core/database.ts';
import { until } from '../harness/until.ts';
import { createTestDatabase, type TestDatabase } from '../support/servers.ts';

let database: TestDatabase;
let pool: pg.Pool;
beforeAll(async () => {
  database = await createTestDatabase();
  pool = new pg.Pool({ connectionString: database.url, application_name: 'test' });
  await pool.query(`CREATE TABLE pair (id int PRIMARY KEY, n int NOT NULL);
    CREATE FUNCTION both_rows(first int, second int) RETURNS void LANGUAGE plpgsql AS $$
    BEGIN
      UPDATE pair SET n = n + 1 WHERE id = first;
      -- The other one has its first row by then: neither goes on before it is asked to.
      PERFORM pg_advisory_lock_shared(1); PERFORM pg_advisory_unlock_shared(1);
      UPDATE pair SET n = n + 1 WHERE id = second;
    END $$`);
});
beforeEach(() => pool.query('TRUNCATE pair; INSERT INTO pair VALUES (1, 0), (2, 0)'));
afterAll(async () => {
  await pool.end();
  await database.drop();
});

/** Two operations that take the same two rows in opposite orders, at once. */
async function crossed(operations: pg.Pool): Promise<PromiseSettledResult<unknown>[]> {
  const gate = await pool.connect();
  try {
    await gate.query('SELECT pg_advisory_lock(1)');
    const both = [
      [1, 2],
      [2, 1],
    ].map((order) => operations.query('SELECT both_rows($1, $2)', order));
    const waiting = `SELECT 1 FROM pg_stat_activity WHERE wait_event = 'advisory' AND query LIKE '%both_rows%'`;
    await until(async () => (await pool.query(waiting)).rowCount === 2, { what: 'each has its first row' });
    await gate.query('SELECT pg_advisory_unlock(1)');
    return await Promise.allSettled(both);
  } finally {
    gate.release();
  }
}

async function withPool<T>(use: (operations: pg.Pool) => Promise<T>): Promise<T> {
  const operations = new pg.Pool({ connectionString: database.url, application_name: 'test' });
  try {
    return await use(operations);
  } finally {
    await operations.end();
  }
}

test('the victim of a deadlock is asked again, and both operations are done once', async () => {
  const results = await withPool((operations) => {
    retryDeadlocks(operations);
    return crossed(operations);
  });
  expect(results.map(({ status }) => status)).toEqual(['fulfilled', 'fulfilled']);
  expect((await pool.query('SELECT n FROM pair ORDER BY id')).rows).toEqual([{ n: 2 }, { n: 2 }]);
});

test('so is what the store asks for with one statement', async () => {
  const store = openDatabase(database.url, { name: 'test', onError: () => undefined });
  const results = await crossed(store.pool).finally(() => store.close());
  expect(results.map(({ status }) => status)).toEqual(['fulfilled', 'fulfilled']);
  expect((await pool.query('SELECT n FROM pair ORDER BY id')).rows).toEqual([{ n: 2 }, { n: 2 }]);
});

test('without it one of them fails', async () => {
  const results = await withPool(crossed);
  expect(results.map(({ status }) => status).sort()).toEqual(['fulfilled', 'rejected']);
});

test('an operation that loses several times in a row is done all the same, and one that always loses says so', async () => {
  const losing = (times: number) => {
    let asked = 0;
    const operations = {
      query: async () => {
        asked += 1;
        if (asked <= times) throw Object.assign(new Error('deadlock detected'), { code: '40P01' });
        return { rowCount: asked };
      },
    };
    retryDeadlocks(operations);
    return operations;
  };
  expect(await losing(7).query()).toEqual({ rowCount: 8 });
  await expect(losing(Number.POSITIVE_INFINITY).query()).rejects.toThrow('deadlock detected');
});

test('any other error is handed on at once', async () => {
  await withPool(async (operations) => {
    retryDeadlocks(operations);
    await expect(operations.query('SELECT 1 / 0')).rejects.toThrow('division by zero');
    await expect(operations.query('SELECT $1::int AS n', [1])).resolves.toMatchObject({ rows: [{ n: 1 }] });
  });
});
