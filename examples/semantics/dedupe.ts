/** An order that is sent twice: the second request gets the execution of the first. */
import { z } from 'zod';
import { created, type Example, executionWhen } from './example.ts';

const DEFINITION = {
  name: 'orders',
  parameters: [{ name: 'order_id', type: 'string', required: true }],
  actions: [{ action_id: 'ship', action_type: 'test_task', config: { order: '{{order_id}}' } }],
  dedupe: { key: '{{order_id}}', window_seconds: 3600, policy: 'return_existing' },
};
const accepted = z.looseObject({ execution_id: z.string(), deduplicated: z.literal(true).optional() });

export const dedupe: Example = {
  name: 'dedupe',
  async run(api, say) {
    const { workflow_id } = await api.post('/workflows', DEFINITION, created);
    const send = (order_id: string) =>
      api.post(`/workflows/${workflow_id}/execute`, { parameters: { order_id } }, accepted);
    const first = await send('A-17');
    const second = await send('A-17');
    const other = await send('A-18');
    say(`A-17 begins ${first.execution_id}; again it is ${second.execution_id}; A-18 begins ${other.execution_id}`);
    await executionWhen(api, first.execution_id);
    await executionWhen(api, other.execution_id);
    return (
      first.deduplicated === undefined &&
      second.deduplicated === true &&
      second.execution_id === first.execution_id &&
      other.execution_id !== first.execution_id
    );
  },
};
