/** An expensive look-up that later executions with the same key do not repeat. */
import { z } from 'zod';
import { created, type Example, execution, executionWhen, started } from './example.ts';

const DEFINITION = {
  name: 'exchange rate',
  parameters: [{ name: 'currency', type: 'string', required: true }],
  actions: [
    {
      action_id: 'rate',
      action_type: 'test_task',
      config: { of: '{{currency}}', asked_in: '{{run.id}}' },
      cache: { key: '{{currency}}', ttl_seconds: 600 },
    },
  ],
  output: '{{rate.asked_in}}',
};
const shown = execution.extend({
  tasks: z.array(z.looseObject({ action_id: z.string(), status: z.string(), cached: z.literal(true).optional() })),
});

export const cache: Example = {
  name: 'cache',
  async run(api, say) {
    const { workflow_id } = await api.post('/workflows', DEFINITION, created);
    const rate = async (currency: string) => {
      const { execution_id } = await api.post(
        `/workflows/${workflow_id}/execute`,
        { parameters: { currency } },
        started,
      );
      await executionWhen(api, execution_id);
      const { output, tasks } = await api.get(`/workflows/executions/${execution_id}`, shown);
      const cached = tasks[0]?.cached === true;
      say(`${currency} in ${execution_id}: ${cached ? `cached, from ${output}` : 'executed'}`);
      return { id: execution_id, output, cached };
    };
    const first = await rate('NOK');
    const second = await rate('NOK');
    const other = await rate('SEK');
    return !first.cached && second.cached && second.output === first.id && !other.cached;
  },
};
