/** The port of messages, over Kafka. Loaded only where Kafka is the transport. */
import type { Admin } from 'kafkajs';
import type { Logger } from '../../../../engine/ports/logger.ts';
import type { Consumer, Transport } from '../ports.ts';
import { createKafkaClient, type KafkaSettings } from './client.ts';
import { createKafkaConsumer } from './consumer.ts';
import type { ConsumerTimes } from './consumer-session.ts';
import { checkTopics, lagOf } from './offsets.ts';
import { createPublisher } from './producer.ts';

const TIMES: ConsumerTimes = {
  restMs: 1_000,
  sessionMs: 15_000,
  heartbeatMs: 3_000,
  stallsAfterMs: 60_000,
  maxPauseMs: 8_000,
};

export function createKafkaTransport(
  settings: KafkaSettings,
  log: Logger,
  times: Partial<ConsumerTimes> = {},
): Transport {
  const kafka = createKafkaClient(settings, log);
  const publisher = createPublisher(kafka, log);
  const consumers = new Set<Consumer>();

  /** A connection for each question: they are rare, and one that broke is not used again. */
  async function ask<Answer>(question: (admin: Admin) => Promise<Answer>): Promise<Answer> {
    const admin = kafka.admin({ retry: { retries: 1 } });
    try {
      await admin.connect();
      return await question(admin);
    } finally {
      await admin.disconnect().catch(() => undefined);
    }
  }

  return {
    name: 'kafka',
    consume(subscription) {
      const deps = {
        ...{ kafka, log, reset: settings.offsetReset, maxBytes: settings.maxMessageBytes },
        times: { ...TIMES, ...times },
      };
      const consumer = createKafkaConsumer(deps, subscription);
      consumers.add(consumer);
      return {
        async close() {
          consumers.delete(consumer);
          await consumer.close();
        },
      };
    },
    publish: publisher.publish,
    ping: () => ask(async (admin) => void (await admin.describeCluster())),
    lag: (group, topics) => ask((admin) => lagOf(admin, group, topics)),
    check: (group, topics) => ask((admin) => checkTopics(admin, group, topics)),
    async close() {
      await Promise.all([...consumers].map((consumer) => consumer.close()));
      await publisher.close();
    },
  };
}
