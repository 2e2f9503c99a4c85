/** The pool: what its connections are set to, and how they are asked for. */
import { once } from 'node:events';
import { type AddressInfo, createServer } from 'node:net';
import pg from 'pg';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { openDatabase } from '../../src/store/core/database.ts';
import { discardReadOnly } from '../../src/store/core/read-only-connections.ts';
import { until } from '../harness/until.ts';
import { createTestDatabase, type TestDatabase } from '../support/servers.ts';

let place: TestDatabase;
beforeAll(async () => {
  place = await createTestDatabase();
});
afterAll(() => place.drop());

test('the first statement of every connection is planned by keys already', async () => {
  const database = openDatabase(place.url, { name: 'database', max: 4, onError: () => undefined });
  try {
    const answers = await Promise.all(
      [1, 2, 3, 4].map(() =>
        database.pool.query(
          `SELECT pg_backend_pid() AS pid, name, setting, pg_sleep(0.05) FROM pg_settings
           WHERE name IN ('enable_seqscan', 'enable_hashjoin', 'enable_mergejoin', 'jit')`,
        ),
      ),
    );
    const rows = answers.flatMap((answer) => answer.rows);
    expect(new Set(rows.map(({ pid }) => pid)).size).toBe(4);
    expect(rows.map(({ setting }) => setting)).toEqual(rows.map(() => 'off'));
  } finally {
    await database.close();
  }
});

test('a connection is asked for without options, which poolers refuse', async () => {
  let asked = '';
  const server = createServer((socket) => {
    socket.on('error', () => undefined);
    socket.once('data', (bytes) => {
      asked = bytes.toString('latin1');
      socket.destroy();
    });
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  const database = openDatabase(`postgresql://u:p@127.0.0.1:${port}/d`, { name: 'pooled', onError: () => undefined });
  try {
    await expect(database.pool.query('SELECT 1')).rejects.toThrow();
    expect(asked.split('\0')).toContain('pooled');
    expect(asked.split('\0')).not.toContain('options');
  } finally {
    await database.close();
    server.close();
  }
});

/** Of new connections; what is open keeps its own. */
async function withReadOnlySessions(work: () => Promise<void>): Promise<void> {
  const writer = new pg.Client({ connectionString: place.url, application_name: 'test' });
  await writer.connect();
  const name = pg.escapeIdentifier(new URL(place.url).pathname.slice(1));
  try {
    await writer.query(`ALTER DATABASE ${name} SET default_transaction_read_only = on`);
    await work();
  } finally {
    await writer.query(`ALTER DATABASE ${name} RESET default_transaction_read_only`);
    await writer.end();
  }
}

test('a connection from when the server took no writes is not used again once it has rejected one', async () => {
  const database = openDatabase(place.url, { name: 'failed-over', max: 1, onError: () => undefined });
  const write = () =>
    database.prisma.$transaction(async (transaction) => {
      await transaction.$executeRaw`DELETE FROM request_count`;
    });
  try {
    await withReadOnlySessions(async () => {
      await expect(write()).rejects.toThrow(/read-only/);
      // The next one is as new as the server is.
      expect((await database.pool.query('SHOW default_transaction_read_only')).rows).toEqual([
        { default_transaction_read_only: 'on' },
      ]);
    });
    await expect(write()).rejects.toThrow(/read-only/);
    await write();
  } finally {
    await database.close();
  }
});

test('connections that were opened while it took no writes are not used again, once they are renewed', async () => {
  const errors: unknown[] = [];
  const database = openDatabase(place.url, { name: 'failed-over', max: 3, onError: (error) => errors.push(error) });
  const all = (statement: string) => Promise.allSettled([1, 2, 3].map(() => database.pool.query(statement)));
  try {
    await withReadOnlySessions(async () => {
      await all('SELECT pg_sleep(0.05)');
    });
    expect(database.connections.totalCount).toBe(3);
    // One is in use meanwhile.
    const inUse = await database.pool.connect();
    database.renewConnections();
    const answered = await inUse.query('SELECT 1').finally(() => inUse.release());
    expect(answered.rowCount).toBe(1);
    await until(() => database.connections.totalCount === 0, { what: 'all are closed' });
    const written = await all('DELETE FROM request_count');
    expect(written.map(({ status }) => status)).toEqual(['fulfilled', 'fulfilled', 'fulfilled']);
    expect(errors).toEqual([]);
  } finally {
    await database.close();
  }
});

test('whoever shares a pool, the one that rejected a write is closed when it is given back, and the pool goes on', async () => {
  const pool = new pg.Pool({ connectionString: place.url, application_name: 'shared', max: 1 });
  discardReadOnly(pool);
  const pidAfter = async (statement: string) => {
    const client = await pool.connect();
    const { rows } = await client.query<{ pid: number }>('SELECT pg_backend_pid() AS pid');
    await client.query(statement).catch(() => undefined);
    client.release();
    return rows[0]?.pid;
  };
  try {
    const first = await pidAfter('SELECT 1');
    expect(await pidAfter('SELECT 1/0')).toBe(first);
    expect(await pidAfter('SET default_transaction_read_only = on')).toBe(first);
    expect(await pidAfter('DELETE FROM request_count')).toBe(first);
    const second = await pidAfter('DELETE FROM request_count');
    expect(second).not.toBe(first);
    expect(await pidAfter('SELECT 1')).toBe(second);
  } finally {
    await pool.end();
  }
});
