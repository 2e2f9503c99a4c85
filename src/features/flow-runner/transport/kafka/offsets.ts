/** Where a group and its topics stand: where it starts, what it has not done with, and what is wrong between them. */
import type { Admin } from 'kafkajs';
import type { PartitionLag, TopicCheck } from '../ports.ts';

export interface Place {
  topic: string;
  partition: number;
  offset: string;
}

/** Where the group starts in a partition of which it has committed nothing, and how many messages that skips. */
export interface Start extends Place {
  skipped: number;
}

interface PartitionState {
  topic: string;
  partition: number;
  low: bigint;
  high: bigint;
  /** Undefined: none. */
  committed: bigint | undefined;
}

/** In the order of the topics. A topic that does not exist is an error. */
export async function startsOf(
  admin: Admin,
  group: string,
  topics: readonly string[],
  reset: 'latest' | 'earliest',
): Promise<Start[]> {
  const states = await statesOf(admin, group, topics);
  return states
    .filter(({ committed }) => committed === undefined)
    .map(({ topic, partition, low, high }) => ({
      ...{ topic, partition },
      offset: String(reset === 'latest' ? high : low),
      skipped: reset === 'latest' ? Number(high - low) : 0,
    }));
}

/** Of a partition of which nothing is committed, all its messages. */
export async function lagOf(admin: Admin, group: string, topics: readonly string[]): Promise<PartitionLag[]> {
  const states = await statesOf(admin, group, await existing(admin, topics));
  return states.map(({ topic, partition, low, high, committed = low }) => {
    const from = Math.max(Number(committed), Number(low));
    return { topic, partition, lag: Math.max(0, Number(high) - from) };
  });
}

export async function checkTopics(admin: Admin, group: string, topics: readonly string[]): Promise<TopicCheck[]> {
  const there = await existing(admin, topics);
  const states = await statesOf(admin, group, there);
  return topics.map((topic) => ({
    topic,
    exists: there.includes(topic),
    beyondEnd: states
      .filter((state) => state.topic === topic && state.committed !== undefined && state.committed > state.high)
      .map(({ partition }) => partition),
  }));
}

/** Lists the topics rather than to ask for them: brokers may create a topic that somebody asks for. */
export async function existing(admin: Admin, topics: readonly string[]): Promise<string[]> {
  const there = new Set(await admin.listTopics());
  return topics.filter((topic) => there.has(topic));
}

async function statesOf(admin: Admin, group: string, topics: readonly string[]): Promise<PartitionState[]> {
  if (topics.length === 0) return [];
  const offsets = await admin.fetchOffsets({ groupId: group, topics: [...topics] });
  const ends = await Promise.all(topics.map((topic) => admin.fetchTopicOffsets(topic)));
  return topics.flatMap((topic, at) => {
    const own = offsets.find((found) => found.topic === topic)?.partitions ?? [];
    const committed = new Map(own.map(({ partition, offset }) => [partition, BigInt(offset)]));
    return (ends[at] ?? []).map(({ partition, low, high }) => {
      const offset = committed.get(partition);
      return {
        ...{ topic, partition, low: BigInt(low), high: BigInt(high) },
        committed: offset === undefined || offset < 0n ? undefined : offset,
      };
    });
  });
}
