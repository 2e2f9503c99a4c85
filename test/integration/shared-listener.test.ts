/** How many connections a worker needs to hear of its jobs on PostgreSQL, and what becomes of them when they break. */
import { EventEmitter } from 'node:events';
import pg from 'pg';
import { afterEach, expect, test } from 'vitest';
import { type ListenClient, type ListeningConnection, shareListener } from '../../src/queue/shared-listener.ts';
import { until } from '../harness/until.ts';
import { createTestDatabase } from '../support/servers.ts';
import { openStack, type Stack } from '../support/stack.ts';

let stack: Stack | undefined;
afterEach(async () => {
  await stack?.stop();
  stack = undefined;
});

const listening = async ({ db }: Stack) => {
  const { rows } = await db.query<{ pid: number; name: string }>(
    `SELECT pid, application_name AS name FROM pg_stat_activity
     WHERE datname = current_database() AND application_name LIKE 'orchestrator%' AND query ~ 'LISTEN "?bullmq_jobs|pg_listening_channels'`,
  );
  return rows;
};

test('all tools of a worker hear of their jobs over one connection, and over another one when that has broken', async () => {
  stack = await openStack('postgres');
  const { api, db } = stack;
  const isOne = async () => (await listening(stack as Stack)).length === 1;
  await until(isOne, { what: 'one connection listens' });
  const [first] = await listening(stack);
  expect(first?.name).toBe('orchestrator-worker-queue');

  for (const task of [{ task_type: 'test_task' }, { task_type: 'transform', params: { expression: '1' } }])
    expect(await api.ended(await api.assign(task))).toMatchObject({ status: 'completed' });
  expect(await listening(stack)).toEqual([first]);

  await db.query('SELECT pg_terminate_backend($1)', [first?.pid]);
  await until(
    async () => {
      const now = await listening(stack as Stack);
      return now.length === 1 && now[0]?.pid !== first?.pid;
    },
    { what: 'another connection listens' },
  );
  expect(await api.ended(await api.assign({ task_type: 'test_task' }))).toMatchObject({ status: 'completed' });
});

test('hears as long as the session has what was subscribed to, and anew once that has been lost and subscribed to again', async () => {
  const database = await createTestDatabase();
  const pool = new pg.Pool({ connectionString: database.url, application_name: 'test', max: 1 });
  pool.on('error', () => undefined);
  const sessions: pg.PoolClient[] = [];
  pool.on('connect', (session) => sessions.push(session));
  const listener = shareListener(pool);
  // As much of BullMQ's connection as is asked for: who listens, and who is told that it has to listen anew.
  const connection: ListeningConnection = Object.assign(new EventEmitter(), {
    getListenClient: (): Promise<ListenClient> => Promise.reject(new Error('served by nobody')),
    setListenClientName: async () => undefined,
    emitError: () => undefined,
  });
  const invalidated = new Promise((resolve) => connection.once('listenerinvalidated', resolve));
  try {
    listener.serve(connection);
    expect(await listener.isListening()).toBe(true);
    await (await connection.getListenClient()).query('LISTEN bullmq_jobs');
    expect(await listener.isListening()).toBe(true);
    await sessions[0]?.query('UNLISTEN *');
    expect(await listener.isListening()).toBe(false);

    const asked = listener.isListening();
    (sessions[0] as unknown as { connection: { stream: { destroy(): void } } }).connection.stream.destroy();
    expect(await asked).toBe(false);
    await invalidated;
    await (await connection.getListenClient()).query('LISTEN bullmq_jobs');
    expect(sessions).toHaveLength(2);
    expect(await listener.isListening()).toBe(true);
  } finally {
    await listener.close();
    await pool.end();
    await database.drop();
  }
});
