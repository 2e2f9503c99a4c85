/** One member of a consumer group, from its start until it fails, stalls or is closed. */

import type { Admin, Consumer as Client, EachBatchPayload, Kafka, KafkaMessage } from 'kafkajs';
import { errorMessage } from '../../../../domain/texts/error-message.ts';
import type { Logger } from '../../../../engine/ports/logger.ts';
import type { IncomingMessage, Subscription } from '../ports.ts';
import { assigner } from './assigner.ts';
import { existing, type Start, startsOf } from './offsets.ts';

export interface ConsumerTimes {
  /** A partition rests so long before what is not done with is delivered again. */
  restMs: number;
  /** A member that says nothing for so long is dead to the group. */
  sessionMs: number;
  heartbeatMs: number;
  /** A client that has done nothing for so long is given up. */
  stallsAfterMs: number;
  /** Between two clients. */
  maxPauseMs: number;
}

export interface ConsumerDeps {
  kafka: Kafka;
  log: Logger;
  reset: 'latest' | 'earliest';
  maxBytes: number;
  times: ConsumerTimes;
}

/** More of a partition is not in hand at a time. */
const MAX_IN_HAND = 500;
const FETCH_WAITS_MS = 500;
/** Partitions of different topics do not wait for one another. */
const PARTITIONS_AT_ONCE = 8;
/** A client that does not end within that is left alone. */
const ENDS_WITHIN_MS = 10_000;
/** A topic that was missing is looked for again so often. */
const LOOKS_FOR_TOPICS_MS = 10_000;

type Ended = { failed: unknown } | 'closed';

/** Throws when it fails. */
export async function runSession(deps: ConsumerDeps, subscription: Subscription, closed: AbortSignal): Promise<void> {
  const { kafka, times } = deps;
  const { topics, starts } = await firstStarts(deps, subscription);
  const client = kafka.consumer({
    groupId: subscription.group,
    partitionAssigners: [assigner],
    sessionTimeout: times.sessionMs,
    heartbeatInterval: times.heartbeatMs,
    maxWaitTimeInMs: FETCH_WAITS_MS,
    maxBytesPerPartition: Math.max(1_048_576, deps.maxBytes),
    allowAutoTopicCreation: false,
    retry: { restartOnFailure: async () => false },
  });
  const session = createSession(deps, subscription, { client, starts });
  const stop = () => session.end('closed');
  closed.addEventListener('abort', stop);
  const watch = setInterval(session.checkStall, times.heartbeatMs);
  const missing = subscription.topics.filter((topic) => !topics.includes(topic));
  const look = async () => {
    const found = await asked(kafka, (admin) => existing(admin, missing));
    if (found.length > 0) session.end({ failed: new Error(`Kafka has the topic ${found.join(', ')} now`) });
  };
  const search =
    missing.length === 0 ? undefined : setInterval(() => void look().catch(() => undefined), LOOKS_FOR_TOPICS_MS);
  try {
    await client.connect();
    await client.subscribe({ topics, fromBeginning: deps.reset === 'earliest' });
    if (closed.aborted) return;
    void client
      .run({
        autoCommit: false,
        eachBatchAutoResolve: false,
        partitionsConsumedConcurrently: PARTITIONS_AT_ONCE,
        eachBatch: session.onBatch,
      })
      .catch((error: unknown) => session.end({ failed: error }));
    const ended = await session.ended;
    if (ended !== 'closed') throw ended.failed;
  } finally {
    closed.removeEventListener('abort', stop);
    clearInterval(watch);
    clearInterval(search);
    await session.finish();
    await within(client.disconnect(), ENDS_WITHIN_MS);
  }
}

/**
 * Where the group has no offset yet: so it is known from its first start on, whether or not a message comes. Topics that are missing
 * are left out, as the others are to be consumed all the same; without any there is nothing to do.
 */
async function firstStarts(
  { kafka, log, reset }: ConsumerDeps,
  { group, topics }: Subscription,
): Promise<{ topics: string[]; starts: Start[] }> {
  return asked(kafka, async (admin) => {
    const there = await existing(admin, topics);
    const missing = topics.filter((topic) => !there.includes(topic));
    if (there.length === 0) throw new Error(`Kafka has no topic ${missing.join(', ')}`);
    if (missing.length > 0)
      log.warn('topics of Kafka are missing, and the others are consumed', { topics: missing, group });
    const starts = await startsOf(admin, group, there, reset);
    for (const topic of there) {
      const skipped = starts.filter((start) => start.topic === topic).reduce((sum, start) => sum + start.skipped, 0);
      if (skipped > 0)
        log.warn('messages that were published before the first start of the consumer group are skipped', {
          ...{ topic, group, skipped, setting: 'KAFKA_AUTO_OFFSET_RESET=latest' },
        });
    }
    return { topics: there, starts };
  });
}

async function asked<Answer>(kafka: Kafka, question: (admin: Admin) => Promise<Answer>): Promise<Answer> {
  const admin = kafka.admin();
  try {
    await admin.connect();
    return await question(admin);
  } finally {
    await within(admin.disconnect(), ENDS_WITHIN_MS);
  }
}

function createSession(
  { log, times }: ConsumerDeps,
  { handle }: Subscription,
  { client, starts }: { client: Client; starts: readonly Start[] },
) {
  let resolveEnd: (ended: Ended) => void = () => undefined;
  const ended = new Promise<Ended>((resolve) => {
    resolveEnd = resolve;
  });
  let aliveAt = performance.now();
  let over = false;
  /** Aborted when partitions are taken away. */
  let generation = new AbortController();
  let uncommitted: Start[] = [];
  const inHand = new Set<Promise<void>>();
  const resting = new Set<NodeJS.Timeout>();
  const alive = () => {
    aliveAt = performance.now();
  };

  function end(how: Ended): void {
    over = true;
    generation.abort();
    resolveEnd(how);
  }

  for (const event of [client.events.FETCH_START, client.events.FETCH, client.events.HEARTBEAT])
    client.on(event, alive);
  client.on(client.events.CRASH, ({ payload }) => end({ failed: payload.error }));
  client.on(client.events.GROUP_JOIN, ({ payload: { memberAssignment } }) => {
    alive();
    generation.abort();
    generation = new AbortController();
    if (over) generation.abort();
    const own = starts.filter(({ topic, partition }) => memberAssignment[topic]?.includes(partition) === true);
    // Before the first fetch: the client would look where the end is by then.
    for (const start of own.filter(isNewTo(started))) client.seek(start);
    uncommitted = own.filter(isNewTo(started));
  });
  const started = new Set<string>();
  client.on(client.events.FETCH_START, () => {
    const places = uncommitted;
    uncommitted = [];
    if (places.length === 0) return;
    for (const place of places) started.add(nameOf(place));
    client.commitOffsets(places.map(({ topic, partition, offset }) => ({ topic, partition, offset }))).catch(() => {
      // Other members of the group have changed; it joins again, and then they are committed.
      for (const place of places) started.delete(nameOf(place));
    });
  });

  async function consume(payload: EachBatchPayload): Promise<void> {
    const { batch, resolveOffset, heartbeat, commitOffsetsIfNecessary: commit, pause } = payload;
    const { topic, partition } = batch;
    const own = generation;
    const beating = keepAlive(heartbeat, times.heartbeatMs, () => {
      alive();
    });
    // The group assigns its partitions anew: what is not done with by now is given back.
    void beating.failed.then(() => own.abort());
    try {
      const messages = batch.messages.map((message) => incoming(topic, partition, message));
      for (let at = 0; at < messages.length && !own.signal.aborted; at += MAX_IN_HAND) {
        const slice = messages.slice(at, at + MAX_IN_HAND);
        const done = await handled(slice, own.signal);
        alive();
        const last = slice[done - 1];
        if (last !== undefined) {
          resolveOffset(last.offset);
          const offset = String(BigInt(last.offset) + 1n);
          started.add(nameOf({ topic, partition }));
          await commit({ topics: [{ topic, partitions: [{ partition, offset }] }] });
        }
        if (done === slice.length) continue;
        if (!own.signal.aborted) rest(pause());
        break;
      }
    } finally {
      beating.stop();
    }
    const failure = beating.failure();
    if (failure !== undefined) throw failure;
  }

  /** How many of the first are done with. */
  async function handled(messages: readonly IncomingMessage[], signal: AbortSignal): Promise<number> {
    try {
      return Math.min(messages.length, Math.max(0, await handle(messages, signal)));
    } catch (error) {
      const [{ topic, partition, offset } = {}] = messages;
      log.warn('messages could not be handled, and come again', {
        ...{ topic, partition, offset, error: errorMessage(error) },
      });
      return 0;
    }
  }

  function rest(resume: () => void): void {
    const timer = setTimeout(() => {
      resting.delete(timer);
      if (!over) resume();
    }, times.restMs);
    resting.add(timer);
  }

  return {
    ended,
    end,
    onBatch(payload: EachBatchPayload): Promise<void> {
      if (over) return Promise.resolve();
      const work = consume(payload);
      const settled = work.then(
        () => undefined,
        () => undefined,
      );
      inHand.add(settled);
      void settled.then(() => inHand.delete(settled));
      return work;
    },
    checkStall(): void {
      if (inHand.size > 0 || performance.now() - aliveAt < times.stallsAfterMs) return;
      end({ failed: new Error(`The client of Kafka has done nothing for ${times.stallsAfterMs} ms`) });
    },
    /** What is in hand is finished or given back, and its offsets are committed. */
    async finish(): Promise<void> {
      over = true;
      generation.abort();
      for (const timer of resting) clearTimeout(timer);
      await Promise.all(inHand);
    },
  };
}

function incoming(topic: string, partition: number, message: KafkaMessage): IncomingMessage {
  const headers = Object.entries(message.headers ?? {}).map(([name, value]): [string, string] => {
    const [first] = Array.isArray(value) ? value : [value];
    return [name, first === undefined ? '' : first.toString()];
  });
  return {
    ...{ topic, partition, offset: message.offset, value: message.value },
    key: message.key === null ? null : message.key.toString(),
    headers: Object.fromEntries(headers),
    timestamp: new Date(Number(message.timestamp)),
  };
}

/** Heartbeats while something is in hand. The first one that fails ends them. */
function keepAlive(heartbeat: () => Promise<void>, everyMs: number, onBeat: () => void) {
  let failure: unknown;
  let onFailure: () => void = () => undefined;
  const failed = new Promise<void>((resolve) => {
    onFailure = resolve;
  });
  const timer = setInterval(() => {
    heartbeat().then(onBeat, (error: unknown) => {
      failure ??= error;
      clearInterval(timer);
      onFailure();
    });
  }, everyMs);
  return { failed, failure: () => failure, stop: () => clearInterval(timer) };
}

function nameOf({ topic, partition }: { topic: string; partition: number }): string {
  return `${topic}/${partition}`;
}

function isNewTo(started: ReadonlySet<string>) {
  return (start: Start) => !started.has(nameOf(start));
}

async function within(work: Promise<unknown>, milliseconds: number): Promise<void> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<void>((resolve) => {
    timer = setTimeout(resolve, milliseconds);
  });
  await Promise.race([work.catch(() => undefined), late]);
  clearTimeout(timer);
}
