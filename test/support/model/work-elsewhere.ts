/** A worker of somebody else: takes what there is of the plots, and completes or fails it as its input says. */
import { z } from 'zod';
import { TOPIC } from './definition.ts';

export interface Answered {
  status: number;
  body: unknown;
}
/** Undefined: no answer. */
export type Post = (path: string, body: object, headers?: Record<string, string>) => Promise<Answered | undefined>;

const polled = z.object({
  tasks: z.array(
    z.object({
      task_id: z.string(),
      lease_token: z.string(),
      attempt: z.int(),
      input: z.object({ n: z.int(), from: z.array(z.unknown()), behave: z.enum(['succeed', 'fail', 'flaky']) }),
    }),
  ),
});
/** Whose answer is lost has it again after that. */
const LEASE_SECONDS = 2;

export async function workElsewhere(post: Post): Promise<void> {
  const asked = { topic: TOPIC, worker_id: 'of the plot', max: 20, lease_seconds: LEASE_SECONDS };
  const answer = await post('/tasks/poll', asked);
  if (answer?.status !== 200) return;
  const { tasks } = polled.parse(answer.body);
  await Promise.all(
    tasks.map(async ({ task_id: id, lease_token, attempt, input: { n, from, behave } }) => {
      const fails = behave === 'fail' || (behave === 'flaky' && attempt === 1);
      // A lease may be lost meanwhile: then somebody else has the task.
      if (fails) await post(`/tasks/${id}/fail`, { lease_token, error: 'as the plot says', retryable: true });
      else await post(`/tasks/${id}/complete`, { lease_token, output: { n, from } });
    }),
  );
}
