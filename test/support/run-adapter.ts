/** Runs an adapter as a worker does: its config through its schema, its output through the other one. */
import type { z } from 'zod';
import { type Adapter, type AdapterContext, NonRetryableError, RetryableError } from '../../workers/adapter.ts';

export async function runAdapter<C extends z.ZodType, O extends z.ZodType>(
  adapter: Adapter<C, O>,
  config: unknown,
  context: AdapterContext,
): Promise<z.output<O>> {
  return adapter.output.parse(await adapter.run(adapter.config.parse(config), context));
}

export async function failureOf(work: Promise<unknown>): Promise<RetryableError | NonRetryableError> {
  const error: unknown = await work.then(
    () => undefined,
    (reason: unknown) => reason,
  );
  if (error instanceof RetryableError || error instanceof NonRetryableError) return error;
  throw new Error(`no adapter error but ${String(error)}`);
}
