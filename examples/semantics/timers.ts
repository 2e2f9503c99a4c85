/** Waits that hold no worker: before an action begins, for some seconds, and until a time. */
import { isDeepStrictEqual } from 'node:util';
import { begin, type Example, executionWhen, statusesOf } from './example.ts';

const definition = (until: Date) => ({
  name: 'reminders',
  actions: [
    { action_id: 'soon', action_type: 'test_task', delay_seconds: 0.2, config: { n: 1 } },
    { action_id: 'pause', action_type: 'wait', depends_on: ['soon'], config: { seconds: 0.3 } },
    { action_id: 'until', action_type: 'wait', depends_on: ['soon'], config: { until: until.toISOString() } },
    {
      action_id: 'then',
      action_type: 'test_task',
      depends_on: ['pause', 'until'],
      config: { after: '{{until.waited_until}}' },
    },
  ],
});

export const timers: Example = {
  name: 'timers',
  async run(api, say) {
    const until = new Date(Date.now() + 1_000);
    const found = await executionWhen(api, await begin(api, definition(until)));
    const last = found.tasks.at(-1);
    say(`${found.status} after ${until.toISOString()}: ${JSON.stringify(statusesOf(found))}`);
    return isDeepStrictEqual(last?.output, { after: until.toISOString() });
  },
};
