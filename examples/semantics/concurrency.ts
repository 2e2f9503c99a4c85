/** One customer's orders one after the other, those of two customers side by side. */
import { z } from 'zod';
import { created, type Example, executionWhen, started } from './example.ts';

const DEFINITION = {
  name: 'orders one by one',
  parameters: [{ name: 'customer', type: 'string', required: true }],
  actions: [{ action_id: 'ship', action_type: 'test_task', config: { duration: 0.5 } }],
  concurrency: { key: '{{customer}}', limit: 1, policy: 'queue' },
};
const spans = z.looseObject({
  waiting_for: z.looseObject({ concurrency_key: z.string() }).optional(),
  tasks: z.array(z.looseObject({ started_at: z.string().nullable(), finished_at: z.string().nullable() })),
});

export const concurrency: Example = {
  name: 'concurrency',
  async run(api, say) {
    const { workflow_id } = await api.post('/workflows', DEFINITION, created);
    const begin = async (customer: string) =>
      (await api.post(`/workflows/${workflow_id}/execute`, { parameters: { customer } }, started)).execution_id;
    const ids = [await begin('ada'), await begin('ada'), await begin('bob')];
    const second = await api.get(`/workflows/executions/${ids[1]}`, spans);
    say(`ada's second order waits for ${JSON.stringify(second.waiting_for)}`);
    const found: Array<{ begun: string; ended: string }> = [];
    for (const id of ids) {
      await executionWhen(api, id);
      const [task] = (await api.get(`/workflows/executions/${id}`, spans)).tasks;
      found.push({ begun: task?.started_at ?? '', ended: task?.finished_at ?? '' });
    }
    const [first, next] = found;
    say(`ada's first ended at ${first?.ended}, her second began at ${next?.begun}`);
    return second.waiting_for?.concurrency_key === 'ada' && (next?.begun ?? '') >= (first?.ended ?? '~');
  },
};
