import { randomBytes } from 'node:crypto';
import type { Redis } from 'ioredis';
import { describe, expect } from 'vitest';
import { keysOf } from '../harness/checker/at-rest.ts';
import { taskOf } from '../support/expect-answers.ts';
import { onBothBackends } from '../support/fixtures.ts';
import type { Stack } from '../support/stack.ts';
import { echo, workflow } from '../support/test-task.ts';

/** Cannot be made smaller, so it would be found wherever it is. */
const LARGE = randomBytes(375_000).toString('base64');
const MOST_PER_JOB = 4_096;

describe.each(onBothBackends())('payloads on $backend', ({ test }) => {
  test('parameters and outputs of 500 kB are not in the queue', async ({ api, stack }) => {
    const definition = workflow(
      [
        echo('a', [], { text: '{{text}}' }),
        echo('b', ['a'], { text: '{{a.text}}' }),
        echo('c', ['b'], { length: '{{b.text}}' }, { delay_seconds: 1 }),
      ],
      {
        parameters: [{ name: 'text', type: 'string' }],
      },
    );
    const id = await api.createWorkflow(definition);
    const run = await api.execute(id, { parameters: { text: LARGE } });
    // While the third action waits for its time: two jobs are done and one is still in the queue.
    const during = await largest(stack);
    const ended = await api.finished(run);
    expect(ended.status).toBe('completed');
    expect(taskOf(ended, 'b').output).toEqual({ text: LARGE });
    for (const found of [during, await largest(stack)])
      expect(found, found.where).toMatchObject({ bytes: expect.any(Number) });
    expect(Math.max(during.bytes, (await largest(stack)).bytes)).toBeLessThan(MOST_PER_JOB);
  });
});

/** The job with the most bytes. */
async function largest({ redis, db, queuePrefix }: Stack): Promise<{ where: string; bytes: number }> {
  if (redis !== undefined) return largestKey(redis, queuePrefix);
  const { rows } = await db.query<{ where: string; bytes: number }>(
    `SELECT queue || ' ' || id AS where, octet_length(j::text) AS bytes FROM bullmq.job j ORDER BY 2 DESC LIMIT 1`,
  );
  return rows[0] ?? { where: 'none', bytes: 0 };
}

async function largestKey(redis: Redis, prefix: string): Promise<{ where: string; bytes: number }> {
  let found = { where: 'none', bytes: 0 };
  for (const where of await keysOf(redis, prefix)) {
    // The streams of events grow with the number of jobs, and are cut by their own limit.
    if (where.endsWith(':events')) continue;
    const bytes = (await redis.memory('USAGE', where)) ?? 0;
    if (bytes > found.bytes) found = { where, bytes };
  }
  return found;
}
