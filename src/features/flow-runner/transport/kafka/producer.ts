/**
 * Publishes with the acknowledgement of all replicas. The broker discards what the client sends it twice, where it gives out
 * numbers for that; elsewhere a message may come twice. After an error the next messages come from a new producer, as the
 * numbers of the former one may not be those that the broker expects.
 */

import kafkajs, { type Kafka, type Message, type Producer } from 'kafkajs';
import { errorMessage } from '../../../../domain/texts/error-message.ts';
import type { Logger } from '../../../../engine/ports/logger.ts';
import type { OutgoingMessage } from '../ports.ts';

const ALL_REPLICAS = -1;
const ACKNOWLEDGED_WITHIN_MS = 30_000;

export interface Publisher {
  publish(messages: readonly OutgoingMessage[]): Promise<void>;
  close(): Promise<void>;
}

export function createPublisher(kafka: Kafka, log: Logger): Publisher {
  let numbered = true;
  let current: Promise<Producer> | undefined;
  // One after the other: an idempotent producer numbers what it sends.
  let last: Promise<unknown> = Promise.resolve();

  async function connect(): Promise<Producer> {
    const producer = kafka.producer({
      createPartitioner: kafkajs.Partitioners.DefaultPartitioner,
      allowAutoTopicCreation: false,
      idempotent: numbered,
      maxInFlightRequests: 1,
    });
    try {
      await producer.connect();
      return producer;
    } catch (error) {
      await producer.disconnect().catch(() => undefined);
      if (!numbered || !givesNoNumbers(error)) throw error;
      numbered = false;
      log.warn('Kafka gives this service no producer id: after a failed connection a message may be published twice', {
        error: errorMessage(error),
      });
      return connect();
    }
  }

  async function disconnect(): Promise<void> {
    const former = current;
    current = undefined;
    const producer = await former?.catch(() => undefined);
    await producer?.disconnect().catch(() => undefined);
  }

  async function send(messages: readonly OutgoingMessage[]): Promise<void> {
    current ??= connect();
    try {
      const producer = await current;
      await producer.sendBatch({
        acks: ALL_REPLICAS,
        timeout: ACKNOWLEDGED_WITHIN_MS,
        topicMessages: byTopic(messages),
      });
    } catch (error) {
      await disconnect();
      throw error;
    }
  }

  return {
    publish(messages) {
      if (messages.length === 0) return Promise.resolve();
      const sent = last.then(() => send(messages));
      last = sent.catch(() => undefined);
      return sent;
    },
    async close() {
      await last;
      await disconnect();
    },
  };
}

function byTopic(messages: readonly OutgoingMessage[]): Array<{ topic: string; messages: Message[] }> {
  const topics = new Map<string, Message[]>();
  for (const { topic, key, value, headers } of messages) {
    const list = topics.get(topic) ?? [];
    list.push({ key, value, headers: { ...headers } });
    topics.set(topic, list);
  }
  return [...topics].map(([topic, list]) => ({ topic, messages: list }));
}

/** No rights for it, or nobody who would give them out. */
function givesNoNumbers(error: unknown): boolean {
  const { name, type } = Object(error) as { name?: unknown; type?: unknown };
  if (name === 'KafkaJSBrokerNotFound' || name === 'KafkaJSServerDoesNotSupportApiKey') return true;
  return type === 'CLUSTER_AUTHORIZATION_FAILED' || type === 'TRANSACTIONAL_ID_AUTHORIZATION_FAILED';
}
