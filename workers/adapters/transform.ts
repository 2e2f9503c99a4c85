/** `transform`: makes a value out of parameters and earlier outputs, with CEL. */
import { z } from 'zod';
import { anyJson, defineAdapter } from '../adapter.ts';

const cel = z.string().min(1).max(10_000);

export const transform = defineAdapter({
  type: 'transform',
  aliases: ['transform_data'],
  description:
    'Computes a value with CEL over params, run, the outputs of earlier actions (by their action_id, or outputs["id"]) and input.',
  idempotent: true,
  config: z
    .strictObject({
      expression: cel
        .optional()
        .meta({ description: 'The output is its value', examples: ['fetch.response.items.map(i, i.id)'] }),
      outputs: z
        .record(z.string(), cel)
        .optional()
        .meta({
          description: 'The output is an object of these values',
          examples: [{ total: 'size(fetch.response.items)' }],
        }),
      input: anyJson.optional().meta({ description: 'May hold templates; the expressions see it as input' }),
    })
    .refine(({ expression, outputs }) => (expression === undefined) !== (outputs === undefined), {
      error: 'either expression or outputs is required',
      path: ['expression'],
    }),
  output: anyJson,
  literal: ['expression', 'outputs'],
  async run({ expression, outputs, input }, { evaluate, scope }) {
    const variables = {
      ...scope.outputs,
      ...scope.locals,
      outputs: scope.outputs,
      params: scope.params,
      run: scope.run,
      ...(input === undefined ? {} : { input }),
    };
    if (expression !== undefined) return evaluate(expression, variables);
    const named = Object.entries(outputs ?? {}).map(
      async ([name, each]) => [name, await evaluate(each, variables)] as const,
    );
    return Object.fromEntries(await Promise.all(named));
  },
});
