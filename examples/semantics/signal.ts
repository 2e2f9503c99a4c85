/** An order that waits for two messages. One comes before anything waits for it and is kept; a second one like it is refused. */
import { isDeepStrictEqual } from 'node:util';
import { z } from 'zod';
import { begin, type Example, executionWhen } from './example.ts';

const SCHEMA = { type: 'object', required: ['amount'], properties: { amount: { type: 'number', minimum: 0 } } };
const DEFINITION = {
  name: 'order',
  actions: [
    { action_id: 'packed', action_type: 'signal', config: { name: 'packed' } },
    { action_id: 'paid', action_type: 'signal', depends_on: ['packed'], config: { name: 'payment', schema: SCHEMA } },
    { action_id: 'ship', action_type: 'test_task', config: { paid: '{{paid.amount}}', by: '{{packed.by}}' } },
  ],
};
const sent = z.looseObject({ action_id: z.string().nullable() });

export const signal: Example = {
  name: 'signal',
  async run(api, say) {
    const id = await begin(api, DEFINITION);
    const send = (name: string, payload: object) =>
      api.post(`/workflows/executions/${id}/signals/${name}`, { payload }, sent);
    const early = await send('payment', { amount: 42 });
    say(`the payment is ${early.action_id === null ? 'kept' : 'taken at once'}`);
    const refused = await send('payment', { amount: 43 }).then(
      () => 'taken',
      (error: Error) => error.message,
    );
    say(`a second payment: ${refused}`);
    await send('packed', { by: 'anna' });
    const found = await executionWhen(api, id);
    const outputs = Object.fromEntries(found.tasks.map(({ action_id, output }) => [action_id, output]));
    say(`${found.status}: ${JSON.stringify(outputs)}`);
    return early.action_id === null && refused.includes('409') && isDeepStrictEqual(outputs['paid'], { amount: 42 });
  },
};
