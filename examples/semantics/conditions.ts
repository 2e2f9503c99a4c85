/** A switch of two branches, and a join that runs after whichever of them ran. */
import { isDeepStrictEqual } from 'node:util';
import { begin, type Example, executionWhen, statusesOf } from './example.ts';

const DEFINITION = {
  name: 'refund',
  parameters: [{ name: 'amount', type: 'number', required: true }],
  actions: [
    { action_id: 'by_hand', action_type: 'test_task', when: 'params.amount > 100', config: { by: 'a person' } },
    { action_id: 'by_rule', action_type: 'test_task', when: 'params.amount <= 100', config: { by: 'a rule' } },
    {
      action_id: 'pay',
      action_type: 'transform',
      depends_on: ['by_hand', 'by_rule'],
      config: { outputs: { decided_by: 'by_hand != null ? by_hand.by : by_rule.by' } },
    },
  ],
  output: '{{pay.decided_by}}',
};

export const conditions: Example = {
  name: 'conditions',
  async run(api, say) {
    let good = true;
    for (const [amount, expected] of [
      [20, { by_hand: 'skipped', by_rule: 'completed', pay: 'completed' }],
      [500, { by_hand: 'completed', by_rule: 'skipped', pay: 'completed' }],
    ] as const) {
      const found = await executionWhen(api, await begin(api, DEFINITION, { amount }));
      say(`${amount}: ${JSON.stringify(statusesOf(found))}, decided by ${JSON.stringify(found.output)}`);
      good &&= isDeepStrictEqual(statusesOf(found), expected);
    }
    return good;
  },
};
