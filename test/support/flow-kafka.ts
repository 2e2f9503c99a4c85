/** A running service with brokers of Kafka beside it, and an executor in this process that reads what is published. */
import { type Kafka, type ReadMessage, startKafka } from '../harness/kafka/start-kafka.ts';
import type { Environment } from '../harness/processes/process.ts';
import { until } from '../harness/until.ts';
import { openStack, type Stack, type StackOptions } from './stack.ts';

export const TOPICS = ['flow_runs', 'task_queue', 'task_done', 'task_failed', 'dead_letter_queue', 'agent.audit'];

export interface PublishedTask {
  run_id: string;
  task_id: string;
  attempt: number;
  [field: string]: unknown;
}

export interface FlowKafka {
  kafka: Kafka;
  stack: Stack;
  /** Messages of the topic, of one run or all, once there are so many. */
  published(topic: string, count: number, runId?: string): Promise<Array<ReadMessage & { body: PublishedTask }>>;
  done(task: PublishedTask, output: unknown, more?: object): Promise<void>;
  failed(task: PublishedTask, error: string, more?: object): Promise<void>;
  close(): Promise<void>;
}

export async function openFlowKafka(
  environment: Environment = {},
  options: Pick<StackOptions, 'features'> = {},
): Promise<FlowKafka> {
  const kafka = await startKafka({ topics: TOPICS, partitions: 2 });
  const stack = await openStack('redis', {
    ...options,
    environment: {
      KAFKA_BOOTSTRAP_SERVERS: kafka.servers.join(','),
      KAFKA_AUTO_OFFSET_RESET: 'earliest',
      ...environment,
    },
  }).catch(async (error: unknown) => {
    await kafka.stop();
    throw error;
  });
  const answer = async (topic: string, { run_id, task_id }: PublishedTask, body: object) => {
    const value = JSON.stringify({ run_id, task_id, execution_time_ms: 5, ...body });
    await kafka.produce([{ topic, key: task_id, value, timestamp: Date.now() }]);
  };
  return {
    kafka,
    stack,
    published: (topic, count, runId) =>
      until(
        async () => {
          const read = (await kafka.read(topic)).map((message) => ({
            ...message,
            body: JSON.parse(String(message.value)) as PublishedTask, // What the service publishes is JSON.
          }));
          const own = read.filter(({ body }) => runId === undefined || body.run_id === runId);
          return own.length >= count && own;
        },
        { what: `${count} messages on ${topic}` },
      ),
    done: (task, output, more = {}) => answer('task_done', task, { output, ...more }),
    failed: (task, error, more = {}) => answer('task_failed', task, { error, ...more }),
    async close() {
      await stack.stop();
      await kafka.stop();
    },
  };
}

/** A definition of tasks for executors elsewhere. */
export function published(id: string, input: unknown = {}, more: object = {}) {
  return { action_id: id, action_type: 'external', config: { topic: `handler-${id}`, input }, ...more };
}
