/** A run that would take ten minutes and may take one second: what ran is aborted, and nothing more begins. */
import { isDeepStrictEqual } from 'node:util';
import { begin, type Example, executionWhen, statusesOf } from './example.ts';

const DEFINITION = {
  name: 'slow_report',
  timeout_seconds: 1,
  actions: [
    { action_id: 'collect', action_type: 'test_task' },
    { action_id: 'render', action_type: 'test_task', depends_on: ['collect'], config: { duration: 600 } },
    { action_id: 'send', action_type: 'test_task', depends_on: ['render'] },
  ],
};

export const deadline: Example = {
  name: 'deadline',
  async run(api, say) {
    const found = await executionWhen(api, await begin(api, DEFINITION));
    say(`${found.status}: ${JSON.stringify(statusesOf(found))}`);
    const expected = { collect: 'completed', render: 'cancelled', send: 'cancelled' };
    return found.status === 'timed_out' && isDeepStrictEqual(statusesOf(found), expected);
  },
};
