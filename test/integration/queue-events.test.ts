/** What the queue keeps of its own events, which nobody reads. */
import { describe, expect } from 'vitest';
import { until } from '../harness/until.ts';
import { onBothBackends } from '../support/fixtures.ts';
import type { Stack } from '../support/stack.ts';

const TASKS = 300;
/** A little more than the limit: a stream is trimmed in whole blocks. */
const MOST = 300;

async function keptEvents({ redis, db, queuePrefix }: Stack, queue: string): Promise<number> {
  if (redis !== undefined) return redis.xlen(`${queuePrefix}:${queue}:events`);
  const { rows } = await db.query<{ count: number }>(
    'SELECT count(*)::int AS count FROM bullmq.event WHERE queue = $1',
    [queue],
  );
  return rows[0]?.count ?? 0;
}

describe.each(onBothBackends())('events of a queue on $backend', ({ test }) => {
  test('are kept in small numbers, also after the store has lost everything', async ({ api, stack, db }) => {
    const assign = async () => {
      const tasks = Array.from({ length: TASKS }, () => ({ task_type: 'test_task' }));
      expect((await api.post('/assign-tasks', { tasks })).status).toBe(202);
      await until(async () => (await db.query('SELECT 1 FROM run WHERE NOT final LIMIT 1')).rowCount === 0);
    };
    await assign();
    const kept = await keptEvents(stack, 'test_task');
    expect(kept).toBeGreaterThan(0);
    expect(kept).toBeLessThanOrEqual(MOST);
    if (stack.redis === undefined) return;
    await stack.redis.flushall();
    const setting = () => stack.redis?.hget(`${stack.queuePrefix}:test_task:meta`, 'opts.maxLenEvents');
    await until(async () => (await setting()) === '100', { what: 'the setting is there again' });
    await assign();
    expect(await keptEvents(stack, 'test_task')).toBeLessThanOrEqual(MOST);
  });
});
