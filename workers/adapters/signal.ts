/** `signal`: goes on when a message of that name has come to the run, with its payload. No worker is occupied meanwhile. */
import { z } from 'zod';
import { anyJson, defineAdapter, NonRetryableError } from '../adapter.ts';

const MAX_SECONDS = 315_360_000;

export const signal = defineAdapter({
  type: 'signal',
  description:
    'Waits for a message of that name to the run and gives its payload. One that came before is kept. No worker is held.',
  config: z
    .strictObject({
      name: z
        .string()
        .min(1)
        .max(255)
        .meta({ description: 'As in POST …/signals/{name}', examples: ['payment'] }),
      schema: z
        .union([z.record(z.string(), z.unknown()), z.boolean()])
        .optional()
        .meta({
          description: 'JSON Schema (2020-12) of the payload; what does not fit is refused when it is sent',
          examples: [{ type: 'object', required: ['amount'], properties: { amount: { type: 'number' } } }],
        }),
      event: z
        .string()
        .min(1)
        .max(255)
        .regex(/^[^*\s]*\*?$/, 'must be the type of events, with a star at its end at most')
        .optional()
        .meta({
          description:
            'An event from outside of this type (POST /events) is a message too, with its data as the payload',
          examples: ['order.paid'],
        }),
      correlation_key: z
        .string()
        .min(1)
        .max(255)
        .optional()
        .meta({
          description: 'The subject of that event',
          examples: ['{{params.order_id}}'],
        }),
      timeout_seconds: z.number().positive().max(MAX_SECONDS).optional(),
      on_timeout: z.enum(['fail', 'continue']).optional().meta({
        description: 'At the deadline; `fail` without it; `continue`: completes with null',
      }),
    })
    .refine((config) => config.on_timeout === undefined || config.timeout_seconds !== undefined, {
      path: ['timeout_seconds'],
      error: 'is required: on_timeout has no effect without a deadline',
    })
    .refine((config) => (config.event === undefined) === (config.correlation_key === undefined), {
      path: ['correlation_key'],
      error: 'goes with event: one says which events, the other whose',
    }),
  output: anyJson,
  jsonSchemas: ['schema'],
  idempotent: true,
  usesEngine: true,
  async run(config, { engine, park }) {
    if (engine?.signal === undefined) throw new Error('signals are the engine’s own, and it is not here');
    const { event, correlation_key: key } = config;
    const from = event === undefined || key === undefined ? undefined : { event, key };
    const answer = await engine.signal(config.name, config.timeout_seconds, from);
    switch (answer.is) {
      case 'open':
        return park(answer.deadline);
      case 'received':
        return answer.payload;
      case 'timed_out':
        if (config.on_timeout === 'continue') return null;
        throw new NonRetryableError(`no signal '${config.name}' came before the deadline`, {
          code: 'signal_timed_out',
        });
    }
  },
});
