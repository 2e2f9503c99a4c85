/** `test_task`: echoes its parameters, after a delay or with a failure where configured. */
import { createHash } from 'node:crypto';
import { setTimeout as delay } from 'node:timers/promises';
import { z } from 'zod';
import { type AdapterContext, anyJson, defineAdapter, RetryableError } from '../adapter.ts';

interface Work {
  duration?: number | undefined;
  report_steps?: number | undefined;
  stream_chunks?: unknown[] | undefined;
}

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
    report_steps: z
      .int()
      .min(1)
      .max(1_000)
      .optional()
      .meta({ description: 'Reports its progress so many times, over its duration' }),
    stream_chunks: z
      .array(anyJson)
      .max(1_000)
      .optional()
      .meta({
        description: 'Streams these parts one after the other, over its duration',
        examples: [['Hello, ', 'world']],
      }),
    fail_with: z
      .string()
      .optional()
      .meta({ description: 'Fails with this message', examples: ['Connection timeout'] }),
    fail_attempts: z.int().min(0).optional().meta({ description: 'With fail_with: only so many attempts fail' }),
  }),
  output: z.looseObject({}).meta({ description: 'The parameters as they were given' }),
  async run(input, context) {
    const { idempotencyKey, attempt } = context;
    const { success_rate: successRate, fail_with: failWith, fail_attempts: failAttempts } = input;
    await work(input, context);
    if (failWith !== undefined && attempt <= (failAttempts ?? Number.POSITIVE_INFINITY))
      throw new RetryableError(failWith);
    if (chance(`${idempotencyKey} ${attempt}`) >= (successRate ?? 1)) {
      throw new RetryableError('Test task failed (simulated failure)');
    }
    return input;
  },
});

/** The duration, divided by whatever has most to say. */
async function work(
  { duration = 0, report_steps: steps = 0, stream_chunks: chunks = [] }: Work,
  { signal, progress, stream }: Pick<AdapterContext, 'signal' | 'progress' | 'stream'>,
): Promise<void> {
  const rounds = Math.max(1, steps, chunks.length);
  for (let round = 1; round <= rounds; round += 1) {
    if (duration > 0) {
      await delay((duration * 1000) / rounds, undefined, { signal }).catch(() => signal.throwIfAborted());
    }
    const chunk = chunks[round - 1];
    if (chunk !== undefined) stream(chunk);
    const step = Math.floor((round * steps) / rounds);
    if (step > Math.floor(((round - 1) * steps) / rounds)) progress((step / steps) * 100, `step ${step} of ${steps}`);
  }
}

/** In [0, 1), and the same for the same attempt: a task that is delivered twice ends the same way twice. */
function chance(seed: string): number {
  return createHash('sha256').update(seed).digest().readUInt32BE() / 2 ** 32;
}
