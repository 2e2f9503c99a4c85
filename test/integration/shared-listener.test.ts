/** How many connections a worker needs to hear of its jobs on PostgreSQL, and what becomes of them when they break. */
import { afterEach, expect, test } from 'vitest';
import { openStack, type Stack } from '../support/stack.ts';
import { until } from '../support/until.ts';

let stack: Stack | undefined;
afterEach(async () => {
  await stack?.stop();
  stack = undefined;
});

const listening = async ({ db }: Stack) => {
  const { rows } = await db.query<{ pid: number; name: string }>(
    `SELECT pid, application_name AS name FROM pg_stat_activity
     WHERE datname = current_database() AND query ~ 'LISTEN "?bullmq_jobs'`,
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

  for (const task_type of ['test_task', 'transform'])
    expect(await api.ended(await api.assign({ task_type, params: { value: 1 } }))).toMatchObject({
      status: 'completed',
    });
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
