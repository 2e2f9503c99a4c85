/** The pool: what its connections are set to, and how they are asked for. */
import { once } from 'node:events';
import { type AddressInfo, createServer } from 'node:net';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { openDatabase } from '../../src/store/database.ts';
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
