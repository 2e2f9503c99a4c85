/** `external`: done by a worker in any language, which leases it over HTTP. No worker of ours is occupied meanwhile. */
import { z } from 'zod';
import { anyJson, defineAdapter, NonRetryableError, RetryableError, taskTopic } from '../../../workers/adapter.ts';

export const external = defineAdapter({
  type: 'external',
  description: 'A worker in any language leases the task over HTTP (POST /tasks/poll) and answers with its output.',
  usesEngine: true,
  config: z.strictObject({
    topic: taskTopic,
    input: anyJson
      .optional()
      .meta({ description: 'What the worker gets; null when left out. It is stored, so it holds no secrets' }),
  }),
  output: anyJson,
  async run({ topic, input = null }, { engine, park }) {
    const task = engine?.external;
    if (task === undefined) throw new NonRetryableError('external tasks need the engine, which is not here');
    const attempt = await task({ topic, input });
    switch (attempt.status) {
      case 'open':
        return park(attempt.deadline);
      case 'completed':
        return attempt.output;
      case 'failed': {
        const { code, message } = attempt;
        throw attempt.retryable ? new RetryableError(message, { code }) : new NonRetryableError(message, { code });
      }
      case 'timed_out':
        throw new RetryableError(`no worker of topic '${topic}' completed it within timeout_seconds`, {
          code: 'timeout',
        });
      case 'closed':
        // The run ends, and wakes this task to end with it.
        return park();
    }
  },
});
