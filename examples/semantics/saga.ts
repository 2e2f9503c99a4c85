/** An order of three steps of which the last one fails: the first two are undone, the last of them first. */
import { isDeepStrictEqual } from 'node:util';
import { begin, type Example, executionWhen, statusesOf } from './example.ts';

const undoneBy = (text: string) => ({ action_type: 'test_task', config: { undone: text } });
const DEFINITION = {
  name: 'travel',
  actions: [
    {
      action_id: 'hotel',
      action_type: 'test_task',
      config: { booking: 'H1' },
      compensate: undoneBy('{{hotel.booking}}'),
    },
    {
      action_id: 'flight',
      action_type: 'test_task',
      depends_on: ['hotel'],
      config: { booking: 'F1' },
      compensate: undoneBy('{{flight.booking}}'),
    },
    {
      action_id: 'car',
      action_type: 'test_task',
      depends_on: ['flight'],
      config: { fail_with: 'there is no car left' },
      retry: { max_attempts: 1 },
    },
  ],
};

export const saga: Example = {
  name: 'saga',
  async run(api, say) {
    const found = await executionWhen(api, await begin(api, DEFINITION));
    const undone = found.tasks.map(({ action_id, compensation }) => [action_id, compensation]);
    say(`${found.status}: ${JSON.stringify(statusesOf(found))}`);
    say(JSON.stringify(undone));
    const outputs = found.tasks.map((task) => (task['compensation'] as { output: object } | undefined)?.output);
    return (
      found.status === 'compensated' && isDeepStrictEqual(outputs, [{ undone: 'H1' }, { undone: 'F1' }, undefined])
    );
  },
};
