/** A new version that is tried out on half of the executions, compared with the old one, and then made the current one. */
import { z } from 'zod';
import { created, type Example, executionWhen, started } from './example.ts';

const ask = { action_id: 'ask', action_type: 'test_task', config: { model: 'small', question: '{{question}}' } };
const DEFINITION = {
  name: 'assistant',
  parameters: [{ name: 'question', type: 'string', required: true }],
  actions: [ask],
  output: { model: '{{ask.model}}' },
};
const changed = z.looseObject({ version: z.int(), current_version: z.int() });
const difference = z.looseObject({ breaking: z.boolean(), actions: z.looseObject({ changed: z.array(z.unknown()) }) });
const counted = z.looseObject({
  items: z.array(z.looseObject({ version: z.int(), runs: z.int(), success_rate: z.number().nullable() })),
});

export const versions: Example = {
  name: 'versions',
  async run(api, say) {
    const { workflow_id } = await api.post('/workflows', DEFINITION, created);
    const path = `/workflows/${workflow_id}`;
    const larger = { ...ask, config: { ...ask.config, model: 'large' } };
    const next = await api.put(path, { actions: [larger], canary_percent: 50 }, changed);
    const diff = await api.get(`${path}/versions/1/diff/2`, difference);
    say(
      `version ${next.version} gets half; ${diff.breaking ? 'it breaks others' : 'it breaks nobody'}: ${JSON.stringify(diff.actions.changed)}`,
    );
    for (let n = 0; n < 10; n += 1) {
      const body = { parameters: { question: 'why?' }, idempotency_key: `${workflow_id} ${n}` };
      const { execution_id } = await api.post(`${path}/execute`, body, started);
      await executionWhen(api, execution_id);
    }
    const { items } = await api.get(`${path}/versions`, counted);
    for (const { version, runs, success_rate } of items)
      say(`version ${version}: ${runs} executions, success rate ${success_rate}`);
    const promoted = await api.post(`${path}/canary/promote`, {}, changed);
    say(`version ${promoted.current_version} is the current one now`);
    const total = items.reduce((sum, { runs }) => sum + runs, 0);
    return next.current_version === 1 && promoted.current_version === 2 && total === 10 && !diff.breaking;
  },
};
