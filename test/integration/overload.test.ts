/** Overload: refused early and in so many words; what was accepted is done. */
import { test as base, describe, expect } from 'vitest';
import { expectRest } from '../harness/checker/at-rest.ts';
import { list } from '../harness/client/client.ts';
import { startRedis } from '../harness/servers/redis-server.ts';
import { until } from '../harness/until.ts';
import { expectProblem } from '../support/expect-answers.ts';
import { onBothBackends } from '../support/fixtures.ts';
import { openStack } from '../support/stack.ts';

const bulk = (count: number) => ({ tasks: Array.from({ length: count }, () => ({ task_type: 'test_task' })) });

describe.each(onBothBackends())('overload on $backend', ({ test }) => {
  test('while the database stores nothing, runs beyond the limit are refused; those before it are all done', async ({
    api,
    db,
  }) => {
    const client = await db.connect();
    const first: Array<ReturnType<typeof api.post>> = [];
    try {
      await client.query('BEGIN; LOCK TABLE run IN ACCESS EXCLUSIVE MODE');
      for (let count = 0; count < 5; count += 1) first.push(api.post('/assign-tasks', bulk(1_000)));
      await until(async () =>
        (await api.get('/metrics')).text.includes('accepts_in_hand{service="orchestrator"} 5000'),
      );
      const refused = await api.post('/assign-task', { task_type: 'test_task' });
      expectProblem(refused, 503, 'overloaded');
      expect(refused.headers.get('retry-after')).toBe('1');
    } finally {
      await client.query('ROLLBACK');
      client.release();
    }
    for (const answer of await Promise.all(first)) {
      expect(answer.status).toBe(202);
      expect(list(answer).filter((item) => typeof item['task_id'] === 'string')).toHaveLength(1_000);
    }
    await until(async () => (await db.query('SELECT 1 FROM run WHERE NOT final LIMIT 1')).rowCount === 0);
  });
});

base(
  'while Redis uses nearly all of its memory nothing is begun, and as soon as it has room again everything is',
  async () => {
    const server = await startRedis();
    const stack = await openStack('redis', { redisUrl: server.url });
    const task = { task_type: 'test_task' };
    try {
      await stack.api.ended(await stack.api.assign(task));
      // A little more than nine tenths of it are in use, and Redis itself does not refuse anything yet. What it uses changes
      // as buffers come and go.
      const fill = async () => {
        const used = Number(/^used_memory:(\d+)/m.exec((await stack.redis?.info('memory')) ?? '')?.[1]);
        await stack.redis?.config('SET', 'maxmemory', Math.round(used / 0.93));
      };
      await until(async () => {
        await fill();
        return (await stack.api.post('/assign-task', task)).status === 429;
      });
      const refused = await stack.api.post('/assign-tasks', bulk(2));
      expectProblem(refused, 429, 'queue_full');
      expect(refused.headers.get('retry-after')).toBe('5');
      expect((await stack.api.get('/tasks')).status).toBe(200);

      // What is in the database already waits there too.
      const { rows } = await stack.db.query<{ id: string }>(
        `INSERT INTO run (id, tenant_id, user_id, inline, parameters, priority, trace_id, status, created_at)
         SELECT 'waiting', tenant_id, user_id, inline, parameters, priority, trace_id, 'pending', now() - interval '1 minute'
         FROM run LIMIT 1 RETURNING id`,
      );
      await until(async () => {
        await fill();
        return stack.log.lines.some(({ event }) => event === 'sweep_held_back');
      });
      expect((await stack.api.get('/workflows/health')).body).toMatchObject({
        status: 'degraded',
        problems: [expect.stringContaining('of its memory')],
      });
      expect((await stack.api.get(`/result/${rows[0]?.id}`)).body).toMatchObject({ status: 'pending' });

      await stack.redis?.config('SET', 'maxmemory', 0);
      expect(await stack.api.ended('waiting')).toMatchObject({ status: 'completed' });
      await until(async () => (await stack.api.post('/assign-task', task)).status === 202);
      await expectRest(stack);
    } finally {
      await stack.stop();
      await server.stop();
    }
  },
);
