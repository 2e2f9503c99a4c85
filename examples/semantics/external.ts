/** Two tasks that workers outside do, one of them after a worker that took it and never came back. */
import { isDeepStrictEqual } from 'node:util';
import { z } from 'zod';
import type { Orchestrator } from '../orchestrator.ts';
import { begin, type Example, executionWhen, statusesOf } from './example.ts';

const DEFINITION = {
  name: 'thumbnail',
  parameters: [
    { name: 'width', type: 'integer', required: true },
    { name: 'topic', type: 'string', required: true },
  ],
  actions: [
    {
      action_id: 'shrink',
      action_type: 'external',
      config: { topic: '{{topic}}', input: { width: '{{width}}' } },
      timeout_seconds: 60,
      retry: { max_attempts: 2, backoff: 'fixed', initial_delay_seconds: 0.1 },
    },
    { action_id: 'publish', action_type: 'test_task', config: { width: '{{shrink.width}}' } },
  ],
};

const polled = z.object({
  tasks: z.array(
    z.looseObject({
      task_id: z.string(),
      lease_token: z.string(),
      attempt: z.number(),
      input: z.object({ width: z.number() }),
    }),
  ),
});
const anything = z.looseObject({});

/** Takes one task, waiting for it if need be. */
async function take(api: Orchestrator, topic: string, worker: string, leaseSeconds: number) {
  const asked = { topic, worker_id: worker, wait_seconds: 20, lease_seconds: leaseSeconds };
  const [task] = (await api.post('/tasks/poll', asked, polled)).tasks;
  if (task === undefined) throw new Error(`nothing of topic ${topic} came in 20 s`);
  return task;
}

export const external: Example = {
  name: 'external',
  async run(api, say) {
    // A topic of its own, so that no other worker takes the task.
    const topic = `example-${Date.now()}`;
    const execution = await begin(api, DEFINITION, { width: 200, topic });

    const lost = await take(api, topic, 'one that dies', 1);
    say('a worker took the task and never came back');
    const first = await take(api, topic, 'another', 30);
    const same = first.task_id === lost.task_id && first.lease_token !== lost.lease_token;
    say(`after its lease another has it: ${same}`);
    const { lease_token, task_id, input } = first;
    await api.post(`/tasks/${task_id}/fail`, { lease_token, error: 'the disk is full' }, anything);

    const second = await take(api, topic, 'another', 30);
    say(`it failed, and is tried again: attempt ${second.attempt}`);
    const answer = { lease_token: second.lease_token, output: { width: input.width } };
    await api.post(`/tasks/${second.task_id}/complete`, answer, anything);
    const late = { lease_token: lost.lease_token, output: { width: 0 } };
    const refused = await api.post(`/tasks/${task_id}/complete`, late, anything).then(
      () => false,
      (error: Error) => error.message.includes(' 409'),
    );
    say(`the first worker comes back, too late: ${refused ? 'refused' : 'taken'}`);

    const found = await executionWhen(api, execution);
    say(`${found.status}: ${JSON.stringify(found.output)}`);
    const expected = { shrink: 'completed', publish: 'completed' };
    const good = found.status === 'completed' && isDeepStrictEqual(statusesOf(found), expected);
    return good && same && refused && second.attempt === 2;
  },
};
