/** `test_fault`: ends, blocks or fills the process it runs in, to test what becomes of the others. For tests only. */
import { abort } from 'node:process';
import { z } from 'zod';
import { anyJson, defineAdapter, NonRetryableError, RetryableError } from '../adapter.ts';

const FAULTS = ['abort', 'spin', 'fill_memory', 'throw_later', 'reject_later', 'none'] as const;

const base = {
  description: 'Breaks the process that runs it, for tests of what survives.',
  config: z.strictObject({
    fault: z.enum(FAULTS).default('none'),
    /** Blocks the event loop that long, and then succeeds. */
    block_seconds: z.number().optional(),
    /** Works that long and does not heed its signal. */
    deaf_seconds: z.number().optional(),
    /** Says these things of itself first: a percentage, `null` for a sign of life, anything else as output. */
    say: z.array(anyJson).optional(),
    /** Says this of itself in the log, each so often. */
    log: z
      .array(
        z.strictObject({
          level: z.enum(['debug', 'info', 'warn', 'error']),
          message: z.string(),
          fields: z.record(z.string(), anyJson).optional(),
          times: z.int().default(1),
        }),
      )
      .optional(),
    /** Says this wherever it can: in the log, of its progress, piece by piece as output, and in the error it ends with. */
    tell: z.string().optional(),
    /** Waits for its signal, and fails with what it says. */
    wait_for_signal: z.boolean().optional(),
    fail: z.enum(['retryable', 'non_retryable']).optional(),
    call: z.string().optional(),
    /** Reads the answer chunk by chunk. */
    in_parts: z.boolean().optional(),
  }),
  output: z.looseObject({}),
};

type Input = z.output<typeof base.config>;
type Context = Parameters<ReturnType<typeof defineAdapter>['run']>[1];

async function run(input: Input, context: Context) {
  const { signal, fetch, idempotencyKey, log, now, service } = context;
  log.info('test_fault_begins', { fault: input.fault });
  for (const said of input.say ?? []) {
    if (typeof said === 'number') context.progress(said, `${said} percent`);
    else if (said === null) context.heartbeat();
    else context.stream(said);
  }
  for (const { level, message, fields, times } of input.log ?? []) {
    for (let time = 0; time < times; time += 1) log[level](message, fields);
  }
  if (input.tell !== undefined) tell(input.tell, context);
  if (input.call !== undefined) {
    const found = await service('elsewhere');
    const answer = await fetch(input.call, { method: 'POST', body: JSON.stringify({ known: found?.baseUrl ?? null }) });
    if (input.in_parts !== true) return { status: answer.status, body: await answer.text(), idempotencyKey };
    let bytes = 0;
    for await (const chunk of answer.body ?? []) bytes += chunk.length;
    return { bytes };
  }
  if (input.block_seconds !== undefined) block(input.block_seconds * 1000);
  if (input.deaf_seconds !== undefined) {
    const { deaf_seconds: seconds } = input;
    await new Promise((resolve) => setTimeout(resolve, seconds * 1000));
  }
  if (input.wait_for_signal === true) {
    await new Promise<void>((resolve) => signal.addEventListener('abort', () => resolve(), { once: true }));
    signal.throwIfAborted();
  }
  if (input.fail === 'retryable') throw new RetryableError('again', { code: 'upstream_error', retryAfterMs: 1_234 });
  if (input.fail === 'non_retryable') throw new NonRetryableError('never', { code: 'upstream_rejected' });
  breakProcess(input.fault);
  if (input.fault !== 'none') await new Promise((resolve) => setTimeout(resolve, 60_000));
  return { at: now().toISOString(), idempotencyKey };
}

function tell(text: string, { log, progress, stream }: Context): never {
  const cause = new Error(`because of ${text}`);
  log.warn(`told ${text}`, { [text]: { deep: [text] }, error: new Error(text, { cause }) });
  progress(50, `half of ${text}`);
  for (let from = 0; from < text.length; from += 5) stream(text.slice(from, from + 5));
  stream({ [text]: [text] });
  throw new RetryableError(`failed with ${text}`, { code: `code of ${text}`, details: { [text]: text }, cause });
}

function breakProcess(fault: (typeof FAULTS)[number]): void {
  switch (fault) {
    case 'abort':
      abort();
      break;
    case 'spin':
      for (;;);
    case 'fill_memory': {
      const filled: string[][] = [];
      for (;;) filled.push(Array.from({ length: 10_000 }, (_, n) => `${n} of ${filled.length}`));
    }
    case 'throw_later':
      setTimeout(() => {
        throw new Error('nobody catches this');
      }, 10);
      return;
    case 'reject_later':
      void Promise.reject(new Error('nobody waits for this'));
      return;
    case 'none':
  }
}

function block(milliseconds: number): void {
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, milliseconds);
}

export const testFault = defineAdapter({ ...base, type: 'test_fault', run });
/** The same, isolated from the first attempt on. */
export const testFaultIsolated = defineAdapter({ ...base, type: 'test_fault_isolated', isolated: true, run });
