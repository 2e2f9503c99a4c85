/** A task that says how far it is and streams its output; another that falls silent and is tried again. */
import { z } from 'zod';
import { begin, type Example, execution, executionWhen } from './example.ts';

const DEFINITION = {
  name: 'progress',
  actions: [
    {
      action_id: 'answer',
      action_type: 'test_task',
      config: { duration: 2, report_steps: 4, stream_chunks: ['The ', 'answer ', 'is ', '42.'] },
      heartbeat_timeout_seconds: 5,
    },
    {
      action_id: 'silent',
      action_type: 'test_task',
      config: { duration: 600 },
      heartbeat_timeout_seconds: 1,
      retry: { max_attempts: 1 },
      on_failure: 'continue',
    },
  ],
};

const progress = z.object({ percent: z.number().nullable(), message: z.string().nullable() }).nullable();
const reporting = execution.extend({
  tasks: z.array(
    z.looseObject({ action_id: z.string(), status: z.string(), output: z.unknown(), error: z.unknown(), progress }),
  ),
});

export const progressExample: Example = {
  name: 'progress',
  async run(api, say) {
    const id = await begin(api, DEFINITION);
    let seen: string | undefined;
    await executionWhen(api, id, (found) => {
      const told = progressOf(found, 'answer');
      if (told !== undefined && told !== seen) say(told);
      seen = told ?? seen;
      return seen !== undefined;
    });
    const ended = reporting.parse(await executionWhen(api, id));
    const silent = ended.tasks.find(({ action_id }) => action_id === 'silent');
    say(`at the end: ${progressOf(ended, 'answer')}; silent: ${JSON.stringify(silent?.error)}`);
    const failed = z.object({ code: z.literal('heartbeat_timeout') }).safeParse(silent?.error).success;
    return ended.status === 'completed' && progressOf(ended, 'answer') === '100 % step 4 of 4' && failed;
  },
};

function progressOf(found: unknown, actionId: string): string | undefined {
  const told = reporting.parse(found).tasks.find(({ action_id }) => action_id === actionId)?.progress;
  return told == null ? undefined : `${told.percent} % ${told.message}`;
}
