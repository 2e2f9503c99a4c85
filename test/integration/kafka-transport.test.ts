/** The transport of Kafka against real brokers: what it reads and writes, and what happens when they are away or change. */
import { afterEach, expect, test } from 'vitest';
import { bareEnvironment, loadConfig } from '../../src/config/config.ts';
import { createKafkaTransport } from '../../src/features/flow-runner/transport/kafka/kafka-transport.ts';
import type { HandleMessages, IncomingMessage, Transport } from '../../src/features/flow-runner/transport/ports.ts';
import { type Kafka, startKafka } from '../harness/kafka/start-kafka.ts';
import { until } from '../harness/until.ts';

const GROUP = 'orchestrator-service';
const FAST = { restMs: 100, sessionMs: 6_000, heartbeatMs: 500, maxPauseMs: 500 };

interface Line {
  event: string;
  fields: object;
}

let kafka: Kafka;
const lines: Line[] = [];
const transports: Transport[] = [];

afterEach(async () => {
  await Promise.all(transports.splice(0).map((transport) => transport.close()));
  await kafka.stop();
  lines.length = 0;
});

function open(settings: Record<string, string> = {}): Transport {
  const { kafka: parsed } = loadConfig({
    ...bareEnvironment(),
    KAFKA_BOOTSTRAP_SERVERS: kafka.servers.join(','),
    ...settings,
  });
  const add = (event: string, fields: object = {}) => {
    lines.push({ event, fields });
  };
  const transport = createKafkaTransport(parsed, { debug: () => undefined, info: add, warn: add, error: add }, FAST);
  transports.push(transport);
  return transport;
}

const EARLIEST = { KAFKA_AUTO_OFFSET_RESET: 'earliest' };
const texts = (messages: readonly IncomingMessage[]) => messages.map(({ value }) => String(value));

function collect(into: IncomingMessage[]): HandleMessages {
  return async (messages) => {
    into.push(...messages);
    return messages.length;
  };
}

const committed = async (topic: string) => (await kafka.offsets(GROUP, topic)).map((place) => place.committed);

test('what another client publishes comes with key, headers, time and offset, and its offset is committed after that', async () => {
  kafka = await startKafka({ topics: ['in'], partitions: 2 });
  const seen: IncomingMessage[] = [];
  await kafka.produce([
    { topic: 'in', key: 'k', value: 'é', headers: { traceparent: 'x' }, partition: 1, timestamp: 1_700_000_000_000 },
    { topic: 'in', value: null, partition: 1 },
  ]);
  open(EARLIEST).consume({ topics: ['in'], group: GROUP, handle: collect(seen) });
  await until(async () => (await committed('in'))[1] === 2, { what: 'the offsets are committed' });
  expect(seen).toEqual([
    {
      ...{ topic: 'in', partition: 1, offset: '0', key: 'k', value: Buffer.from('é'), headers: { traceparent: 'x' } },
      timestamp: new Date(1_700_000_000_000),
    },
    expect.objectContaining({ key: null, value: null, offset: '1', headers: {} }),
  ]);
});

test('a topic that is missing is waited for, while the others are consumed', async () => {
  kafka = await startKafka({ topics: ['in'] });
  const seen: IncomingMessage[] = [];
  open(EARLIEST).consume({ topics: ['in', 'later'], group: GROUP, handle: collect(seen) });
  await kafka.produce([{ topic: 'in', value: 'first' }]);
  await until(() => seen.length === 1);
  expect(lines.find(({ event }) => event.startsWith('topics of Kafka are missing'))?.fields).toMatchObject({
    topics: ['later'],
  });
  await kafka.createTopic('later', 1);
  await kafka.produce([{ topic: 'later', value: 'second' }]);
  await until(() => seen.length === 2);
  expect(texts(seen)).toEqual(['first', 'second']);
});

test('batches are read in every compression that producers have', async () => {
  kafka = await startKafka({ topics: ['in'] });
  const codecs = ['gzip', 'snappy', 'lz4', 'zstd'] as const;
  // Long and alike, so that the producer finds it worth its while.
  const valuesOf = (codec: string) =>
    Array.from({ length: 50 }, (_, n) => `${codec} ${n} ${'of many words '.repeat(n * 20)}`);
  for (const codec of codecs)
    await kafka.produce(
      valuesOf(codec).map((value) => ({ topic: 'in', value })),
      codec,
    );
  const seen: IncomingMessage[] = [];
  open(EARLIEST).consume({ topics: ['in'], group: GROUP, handle: collect(seen) });
  await until(async () => (await committed('in'))[0] === codecs.length * 50, { what: 'all are done with' });
  expect(texts(seen)).toEqual(codecs.flatMap(valuesOf));
});

test('what is published is read by another client, in the order of its key, and acknowledged again after the broker failed', async () => {
  kafka = await startKafka({ topics: ['out'], partitions: 3 });
  const transport = open();
  const message = (value: string) => ({ topic: 'out', key: 'same', value, headers: { attempt: '0' } });
  await transport.publish([message('1'), message('2')]);
  await kafka.pushErrors('produce', ['notEnoughReplicas', 'notLeader']);
  await transport.publish([message('3')]);
  await kafka.setBrokerDown();
  await expect(transport.publish([message('4')])).rejects.toThrow();
  await kafka.setBrokerUp();
  await transport.publish([message('4'), message('5')]);
  const read = await kafka.read('out');
  expect(new Set(read.map(({ partition }) => partition)).size).toBe(1);
  expect(read.map(({ value }) => String(value))).toEqual(['1', '2', '3', '4', '5']);
  expect(read[0]).toMatchObject({ key: 'same', headers: { attempt: '0' } });
});

test('no offset passes a message that is not done with: it comes again after a rest', async () => {
  kafka = await startKafka({ topics: ['in'] });
  await kafka.produce(['a', 'b', 'c'].map((value) => ({ topic: 'in', value })));
  const deliveries: string[][] = [];
  let ready = false;
  open(EARLIEST).consume({
    topics: ['in'],
    group: GROUP,
    async handle(messages) {
      deliveries.push(texts(messages));
      if (ready) return messages.length;
      if (deliveries.length === 2) throw new Error('The database is away');
      return texts(messages)[0] === 'a' ? 1 : 0;
    },
  });
  await until(() => deliveries.length >= 4, { what: 'what is not done with is delivered again and again' });
  expect(await committed('in')).toEqual([1]);
  ready = true;
  await until(async () => (await committed('in'))[0] === 3);
  expect(deliveries[0]).toEqual(['a', 'b', 'c']);
  expect(deliveries.slice(1).every((each) => each.join() === 'b,c')).toBe(true);
  expect(lines.map(({ event }) => event)).toContain('messages could not be handled, and come again');
});

test('a group that starts at the end skips what was there, says so, and has its place from then on', async () => {
  kafka = await startKafka({ topics: ['in'] });
  await kafka.produce([{ topic: 'in', value: 'old' }]);
  const seen: IncomingMessage[] = [];
  const first = open();
  first.consume({ topics: ['in'], group: GROUP, handle: collect(seen) });
  await until(async () => (await committed('in'))[0] === 1, { what: 'the place of the group is committed' });
  await first.close();
  // Nothing had come when it ended: what is published while nobody consumes is not skipped.
  await kafka.produce([{ topic: 'in', value: 'new' }]);
  open().consume({ topics: ['in'], group: GROUP, handle: collect(seen) });
  await until(() => seen.length > 0, { what: 'the message comes' });
  expect(texts(seen)).toEqual(['new']);
  expect(lines.filter(({ event }) => event.includes('are skipped'))).toEqual([
    expect.objectContaining({ fields: expect.objectContaining({ topic: 'in', skipped: 1 }) }),
  ]);
});

test('two consumers of one group share the partitions, also with a client of another make, and lose nothing when one goes', async () => {
  kafka = await startKafka({ topics: ['in', 'other'], partitions: 2 });
  const own: IncomingMessage[] = [];
  const others: IncomingMessage[] = [];
  const first = open(EARLIEST);
  first.consume({ topics: ['in'], group: GROUP, handle: collect(own) });
  // In the same group, with another topic: each has the partitions of its own.
  first.consume({ topics: ['other'], group: GROUP, handle: collect(others) });
  // The mock brokers reject a member whose assignment another client has already handed in: ours are there first, and hand it in.
  const areThere = async () =>
    [...(await committed('in')), ...(await committed('other'))].every((offset) => offset === 0);
  await until(areThere, { what: 'both have their partitions' });
  const foreign = await kafka.join(GROUP, ['in']);
  await until(() => foreign.assignments.at(-1)?.length === 1, { what: 'the other client has one partition' });
  const messages = Array.from({ length: 20 }, (_, index) => ({
    topic: 'in',
    value: String(index),
    partition: index % 2,
  }));
  await kafka.produce([
    ...messages,
    { topic: 'other', value: 'x', partition: 0 },
    { topic: 'other', value: 'y', partition: 1 },
  ]);
  await until(() => own.length >= 10 && foreign.messages.length >= 10 && others.length >= 2, { what: 'all have come' });
  await foreign.leave();
  await kafka.produce([0, 1].map((partition) => ({ topic: 'in', value: 'late', partition })));
  await until(async () => (await committed('in')).every((offset) => offset === 11));
  const seen = new Set([...texts(own), ...foreign.messages.map(({ value }) => String(value))]);
  expect(seen.size).toBe(21);
  expect(texts(others).sort()).toEqual(['x', 'y']);
});

test('what is in hand when partitions are assigned anew is given back, and its offset is not committed', async () => {
  kafka = await startKafka({ topics: ['in'], partitions: 2 });
  await kafka.produce([0, 1].map((partition) => ({ topic: 'in', value: `p${partition}`, partition })));
  let givenBack = 0;
  let patient = true;
  const done: IncomingMessage[] = [];
  open(EARLIEST).consume({
    topics: ['in'],
    group: GROUP,
    async handle(messages, signal) {
      if (!patient) return collect(done)(messages, signal);
      await new Promise((resolve) => signal.addEventListener('abort', resolve));
      givenBack += 1;
      return 0;
    },
  });
  await until(async () => (await committed('in')).every((offset) => offset === 0), { what: 'it has both partitions' });
  const second = await kafka.join(GROUP, ['in']);
  await until(() => second.messages.length === 1, { what: 'the new member has the message of its partition' });
  expect(givenBack).toBeGreaterThan(0);
  patient = false;
  await second.leave();
  await until(() => done.length === 1, { what: 'the other one is handled' });
});

test('a broker that is away is waited for, and what was published meanwhile comes', async () => {
  kafka = await startKafka({ topics: ['in'] });
  const seen: IncomingMessage[] = [];
  const transport = open(EARLIEST);
  transport.consume({ topics: ['in'], group: GROUP, handle: collect(seen) });
  await kafka.produce([{ topic: 'in', value: 'before' }]);
  await until(() => seen.length === 1);
  await kafka.setBrokerDown();
  await until(() => lines.some(({ event }) => event === 'Kafka client' || event.startsWith('consuming from Kafka')), {
    what: 'the log says so',
  });
  await expect(transport.ping()).rejects.toThrow();
  await kafka.setBrokerUp();
  await kafka.produce([{ topic: 'in', value: 'after' }]);
  await until(() => texts(seen).includes('after'), { what: 'the message comes' });
  await transport.ping();
});

test('the lag of a group is counted, and topics that are missing and offsets beyond the end are found', async () => {
  kafka = await startKafka({ topics: ['in'], partitions: 2 });
  await kafka.produce(['a', 'b', 'c'].map((value) => ({ topic: 'in', value, partition: 0 })));
  await kafka.commit(GROUP, 'in', 0, 1);
  await kafka.commit(GROUP, 'in', 1, 7);
  const transport = open();
  expect(await transport.lag(GROUP, ['in', 'absent'])).toEqual([
    { topic: 'in', partition: 0, lag: 2 },
    { topic: 'in', partition: 1, lag: 0 },
  ]);
  expect(await transport.check(GROUP, ['in', 'absent'])).toEqual([
    { topic: 'in', exists: true, beyondEnd: [1] },
    { topic: 'absent', exists: false, beyondEnd: [] },
  ]);
});

test('a topic that is missing is not created, and consumed once it exists', async () => {
  kafka = await startKafka();
  const seen: IncomingMessage[] = [];
  const transport = open(EARLIEST);
  transport.consume({ topics: ['later'], group: GROUP, handle: collect(seen) });
  await until(() => lines.some(({ fields }) => JSON.stringify(fields).includes('no topic later')));
  expect((await transport.check(GROUP, ['later']))[0]?.exists).toBe(false);
  await kafka.createTopic('later', 1);
  await kafka.produce([{ topic: 'later', value: 'x' }]);
  await until(() => seen.length === 1);
});
