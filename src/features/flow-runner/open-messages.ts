/** Why a task that goes to others by a message is not done: it is not published, or nobody has answered. Pure. */
import { type Cause, cause, span } from '../../domain/health/why-causes.ts';

/** The newest attempt of a task that nobody has answered. Times are milliseconds of the database's clock. */
export interface OpenMessage {
  actionId: string;
  handler: string;
  /** From 0, as the message has it. */
  attempt: number;
  createdAt: number;
  publishedAt: number | undefined;
  deadlineAt: number;
  now: number;
}

export interface MessageSurroundings {
  /** Where tasks are published. */
  topic: string;
  isReachable: boolean;
  /** How many tasks may be published and not answered. */
  maxOpenTasks: number;
}

export function causeOfMessage(message: OpenMessage, around: MessageSurroundings): Cause {
  const { handler, attempt, createdAt, publishedAt, deadlineAt, now } = message;
  const { topic, isReachable, maxOpenTasks } = around;
  const data = { topic, handler, attempt };
  if (!isReachable) {
    return cause(
      'kafka_unreachable',
      `The broker does not answer: ${publishedAt === undefined ? 'the task cannot be published' : 'no answer to the task can come'}.`,
      'Bring the broker back (KAFKA_BOOTSTRAP_SERVERS, or the Redis of the streams). Nothing is lost, and all goes on by itself.',
      { data: { ...data, is_published: publishedAt !== undefined }, since: createdAt, until: undefined },
    );
  }
  if (publishedAt === undefined) {
    return cause(
      'outbox_waiting',
      `It has waited in the outbox for ${span(now - createdAt)} to be published.`,
      `Nothing: it is published by itself, once fewer than ${maxOpenTasks} tasks are open (MAX_CONCURRENT_TASKS). If the outbox grows, look for warnings of its publisher in the logs.`,
      { data: { ...data, max_open_tasks: maxOpenTasks }, since: createdAt, until: undefined },
    );
  }
  return cause(
    'task_queue_no_answer',
    `It was published to '${topic}' for '${handler}' ${span(now - publishedAt)} ago, and nobody has answered.`,
    `See whether an executor of '${handler}' consumes '${topic}', and how far it is behind. Without an answer the attempt ends at its deadline.`,
    { data, times: { deadline: deadlineAt }, since: publishedAt, until: undefined },
  );
}
