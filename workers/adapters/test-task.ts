/** `test_task`: echoes its parameters, after a while if asked to, or fails as it is told. */
import { createHash } from 'node:crypto';
import { setTimeout as delay } from 'node:timers/promises';
import { z } from 'zod';
import { defineAdapter, RetryableError } from '../adapter.ts';

export const testTask = defineAdapter({
  type: 'test_task',
  description: 'Echoes its parameters. Waits and fails as it is told, to try out a workflow.',
  idempotent: true,
  config: z.looseObject({
    duration: z
      .number()
      .min(0)
      .max(3_600)
      .optional()
      .meta({ description: 'Seconds to work', examples: [0.5] }),
    success_rate: z
      .number()
      .min(0)
      .max(1)
      .optional()
      .meta({ description: 'The part of all attempts that succeeds, 1 by default' }),
    fail_with: z
      .string()
      .optional()
      .meta({ description: 'Fails with this message', examples: ['Connection timeout'] }),
    fail_attempts: z.int().min(0).optional().meta({ description: 'With fail_with: only so many attempts fail' }),
  }),
  output: z.looseObject({}).meta({ description: 'The parameters as they were given' }),
  async run(input, { signal, idempotencyKey, attempt }) {
    const { duration, success_rate: successRate, fail_with: failWith, fail_attempts: failAttempts } = input;
    if (duration !== undefined && duration > 0) {
      await delay(duration * 1000, undefined, { signal }).catch(() => signal.throwIfAborted());
    }
    if (failWith !== undefined && attempt <= (failAttempts ?? Number.POSITIVE_INFINITY))
      throw new RetryableError(failWith);
    if (chance(`${idempotencyKey} ${attempt}`) >= (successRate ?? 1)) {
      throw new RetryableError('Test task failed (simulated failure)');
    }
    return input;
  },
});

/** In [0, 1), and the same for the same attempt: a task that is delivered twice ends the same way twice. */
function chance(seed: string): number {
  return createHash('sha256').update(seed).digest().readUInt32BE() / 2 ** 32;
}
