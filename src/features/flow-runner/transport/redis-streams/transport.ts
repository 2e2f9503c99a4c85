/**
 * Redis Streams as the transport of flow runs, for those without Kafka. A topic is the key of a stream, as it is named, with
 * nothing before it. A stream has one partition, 0, and the id of an entry is its offset; members of a group share its entries
 * one by one, so the order of a key holds for a group of one member.
 */
import { randomUUID } from 'node:crypto';
import { hostname } from 'node:os';
import type { Config } from '../../../../config/config.ts';
import type { Logger } from '../../../../engine/ports/logger.ts';
import { areReplicated } from '../../../../queue/redis-connection.ts';
import type { RedisServers } from '../../../../schemas/redis-servers.ts';
import type { Consumer, OutgoingMessage, Subscription, Transport } from '../ports.ts';
import { openStreamsClient, type StreamsClient } from './client.ts';
import { type ConsumerTimes, consumeStream } from './consumer.ts';
import { fieldsOf } from './entries.ts';
import { createGroupMember } from './group.ts';
import { checkStream, lagOf } from './standing.ts';
import { createTrimming } from './trimming.ts';

export interface RedisStreamsOptions {
  servers: RedisServers;
  offsetReset: 'latest' | 'earliest';
  maxLength: number;
  times?: Partial<ConsumerTimes>;
}

const TIMES: ConsumerTimes = { blockMs: 1_000, claimAfterMs: 60_000, claimEveryMs: 1_000, restMs: 1_000 };
/** So long replicas have to confirm what was published. */
const REPLICAS_MS = 3_000;

export function openRedisStreams(config: Pick<Config, 'redis' | 'kafka' | 'flowTransport'>, log: Logger): Transport {
  // The settings were checked at the start.
  if (config.redis === undefined) throw new Error('FLOW_TRANSPORT is redis-streams, and there is no Redis');
  const { offsetReset } = config.kafka;
  const maxLength = config.flowTransport.streamMaxLength;
  return createRedisStreams({ servers: config.redis, offsetReset, maxLength }, log);
}

export function createRedisStreams(options: RedisStreamsOptions, log: Logger): Transport {
  const { servers } = options;
  const client = openStreamsClient(servers, 'orchestrator-streams');
  const trimming = createTrimming(client, options.maxLength, log);
  const times = { ...TIMES, ...options.times };
  const consumers = new Set<Consumer>();

  function consume({ topics, group, handle }: Subscription): Consumer {
    const closing = new AbortController();
    const name = `${hostname()}-${randomUUID()}`;
    const working = topics.map(async (topic) => {
      // A command that blocks has a connection of its own; in a Cluster each stream may be on another server.
      const blocking = openStreamsClient(servers, 'orchestrator-streams-read', times.blockMs);
      const member = createGroupMember(client, { topic, group, member: name });
      const { offsetReset } = options;
      const onAcknowledged = (messages: number) => trimming.passed(topic, messages);
      const deps = { topic, member, blocking, handle, offsetReset, times, onAcknowledged, log };
      await consumeStream(deps, closing.signal).finally(() => blocking.close());
    });
    const consumer: Consumer = {
      async close() {
        closing.abort();
        consumers.delete(consumer);
        await Promise.all(working);
      },
    };
    consumers.add(consumer);
    return consumer;
  }

  return {
    name: 'redis-streams',
    consume,
    async publish(messages) {
      // One after the other: what was published of the first is published again with all if a later one fails.
      for (const topic of new Set(messages.map((message) => message.topic))) {
        const ofTopic = messages.filter((message) => message.topic === topic);
        await append(client, topic, ofTopic);
        await trimming.passed(topic, ofTopic.length);
      }
      if (messages.length > 0 && !(await areReplicated(client.redis, REPLICAS_MS)))
        throw new Error('not all replicas of Redis have confirmed what was published');
    },
    async ping() {
      await client.call('EXISTS', 'orchestrator:ping');
    },
    async lag(group, topics) {
      const lags = await Promise.all(topics.map((topic) => lagOf(client, group, topic)));
      return lags.filter((one) => one !== undefined);
    },
    check: (group, topics) => Promise.all(topics.map((topic) => checkStream(client, group, topic))),
    async close() {
      await Promise.all([...consumers].map((consumer) => consumer.close()));
      client.close();
    },
  };
}

/** All of them or none: with some of them missing a later try would change their order. */
async function append(client: StreamsClient, topic: string, messages: readonly OutgoingMessage[]): Promise<void> {
  await client.ready();
  const transaction = client.redis.multi();
  for (const message of messages) transaction.xadd(topic, '*', ...fieldsOf(message));
  const answers = await transaction.exec();
  if (answers === null) throw new Error(`nothing was added to the stream ${topic}`);
  for (const [error] of answers) if (error !== null) throw error;
}
