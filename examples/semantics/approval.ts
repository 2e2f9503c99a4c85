/** A payment that somebody has to approve, and one that is rejected. */
import { z } from 'zod';
import { begin, type Example, executionWhen } from './example.ts';

const DEFINITION = {
  name: 'payment',
  parameters: [{ name: 'amount', type: 'number', required: true }],
  actions: [
    {
      action_id: 'review',
      action_type: 'approval',
      config: { message: 'Pay {{amount}}?', timeout_seconds: 3600, on_timeout: 'reject', on_reject: 'continue' },
    },
    { action_id: 'pay', action_type: 'test_task', when: 'review.approved', config: { amount: '{{amount}}' } },
  ],
  output: '{{review}}',
};
const decided = z.looseObject({ decision: z.string(), by: z.string() });

export const approval: Example = {
  name: 'approval',
  async run(api, say) {
    let good = true;
    for (const [verb, amount, status] of [
      ['approve', 42, 'completed'],
      ['reject', 4_200, 'skipped'],
    ] as const) {
      const id = await begin(api, DEFINITION, { amount });
      await executionWhen(api, id, ({ tasks }) => tasks[0]?.['waiting_for'] !== undefined);
      const path = `/workflows/executions/${id}/${verb}`;
      const answer = await api.post(path, { action_id: 'review', comment: `${amount} it is` }, decided);
      const found = await executionWhen(api, id);
      const pay = found.tasks.find(({ action_id }) => action_id === 'pay')?.status;
      say(`${amount} is ${answer.decision} by ${answer.by}: the payment is ${pay}`);
      good &&= pay === status;
    }
    return good;
  },
};
