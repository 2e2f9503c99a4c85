/** `workflow`: a run of another workflow, which this task waits for without occupying a worker. */
import { z } from 'zod';
import { anyJson, defineAdapter, type EngineCapabilities, NonRetryableError, RetryableError } from '../adapter.ts';

type ChildRuns = NonNullable<EngineCapabilities['children']>;
type ChildRun = NonNullable<Awaited<ReturnType<ChildRuns['start']>>>;

export const workflow = defineAdapter({
  type: 'workflow',
  description:
    'Begins an execution of another workflow and waits for its end, without holding a worker. They are cancelled together; one that does not complete makes the action fail. `wait: false` leaves it on its own.',
  config: z
    .strictObject({
      workflow_id: z.string().min(1).max(255).optional(),
      name: z
        .string()
        .min(1)
        .max(255)
        .optional()
        .meta({ description: 'The newest workflow of that name', examples: ['translate'] }),
      version: z.int().min(1).optional().meta({ description: 'The newest when left out' }),
      parameters: z.record(z.string(), anyJson).default({}),
      wait: z.boolean().default(true),
    })
    .refine(({ workflow_id, name }) => (workflow_id === undefined) !== (name === undefined), {
      error: 'either workflow_id or name is required',
      path: ['workflow_id'],
    }),
  output: z.object({ execution_id: z.string(), status: z.string(), output: anyJson }),
  usesEngine: true,
  async run({ workflow_id, name, version, parameters, wait }, { engine, park }) {
    const children = engine?.children;
    if (children === undefined) throw new NonRetryableError('executions are begun by the engine, which is not here');
    const child = await children
      .start({
        ...(workflow_id === undefined ? { by: 'name', named: name ?? '' } : { by: 'workflow_id', named: workflow_id }),
        version,
        parameters,
        awaited: wait,
      })
      .catch(asFailure);
    if (child !== undefined && !wait) return { execution_id: child.id, status: 'pending', output: null };
    if (child === undefined || !child.final) return park();
    if (child.status !== 'completed') throw failureOf(child);
    return { execution_id: child.id, status: child.status, output: child.output };
  },
});

/** A workflow that accepts no executions now may do so later. */
function asFailure(error: unknown): never {
  if (error instanceof Error && 'code' in error && error.code === 'workflow_paused') {
    throw new RetryableError(error.message, { code: 'workflow_paused', cause: error });
  }
  throw error;
}

function failureOf({ id, status, error }: ChildRun): RetryableError | NonRetryableError {
  const details = { execution_id: id, status, error };
  if (status === 'cancelled') {
    return new NonRetryableError(`the execution ${id} was cancelled`, { code: 'child_cancelled', details });
  }
  const why = typeof error === 'object' && error !== null && 'message' in error ? `: ${String(error['message'])}` : '';
  return new RetryableError(`the execution ${id} ended as ${status}${why}`, { code: 'child_failed', details });
}
