/** An order that is paused, charged by hand, resumed, and run again from one action after a look at what would act again. */
import { z } from 'zod';
import { begin, type Example, executionWhen, hasEnded, statusesOf } from './example.ts';

const DEFINITION = {
  name: 'order',
  actions: [
    { action_id: 'approve', action_type: 'wait', config: { seconds: 3_600 } },
    { action_id: 'charge', action_type: 'test_task', depends_on: ['approve'], config: { by: '{{approve.by}}' } },
    { action_id: 'survey', action_type: 'wait', config: { seconds: 3_600 } },
    // It acts outside: whoever runs it again is told so.
    { action_id: 'ship', action_type: 'test_task', depends_on: ['charge', 'survey'], config: {}, idempotent: false },
  ],
};
const anything = z.looseObject({});
const plan = z.looseObject({ reopened_actions: z.number(), acts_again: z.array(z.string()) });

export const control: Example = {
  name: 'control',
  async run(api, say) {
    const run = await begin(api, DEFINITION);
    const ask = (verb: string, body: object = {}) => api.post(`/workflows/executions/${run}/${verb}`, body, anything);
    const isWaiting = (id: string) =>
      executionWhen(api, run, ({ tasks }) => tasks.some((task) => task.action_id === id && task.status === 'waiting'));
    await isWaiting('approve');
    await isWaiting('survey');
    await ask('pause', { reason: 'the till is out of order' });
    await ask('complete', { action_id: 'approve', output: { by: 'ada' }, comment: 'by telephone' });
    const paused = await isWaiting('charge');
    say(`paused: ${JSON.stringify(statusesOf(paused))}`);
    await ask('resume');
    await ask('skip', { action_id: 'survey', reason: 'nobody answers' });
    const ended = await executionWhen(api, run);
    say(`resumed: ${JSON.stringify(statusesOf(ended))}`);
    const wanted = { action_id: 'charge', reason: 'charged too little' };
    const told = await api.post(`/workflows/executions/${run}/rerun`, { ...wanted, dry_run: true }, plan);
    say(
      `a rerun from charge does ${told.reopened_actions} actions again, of which ${told.acts_again.join()} acts again`,
    );
    await ask('rerun', wanted);
    const again = await executionWhen(api, run, hasEnded);
    return (
      paused.status === 'paused' &&
      ended.status === 'completed' &&
      statusesOf(ended)['survey'] === 'skipped' &&
      told.acts_again.join() === 'ship' &&
      again.status === 'completed'
    );
  },
};
