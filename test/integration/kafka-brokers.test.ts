/** The brokers that the tests of Kafka use: librdkafka's client finds in them what it expects of a cluster. */
import { afterEach, expect, test } from 'vitest';
import { type Kafka, startKafka } from '../harness/kafka/start-kafka.ts';
import { until } from '../harness/until.ts';

let kafka: Kafka;

afterEach(() => kafka.stop());

test('what is produced is read with its key, headers and time, in the order of its partition', async () => {
  kafka = await startKafka({ topics: ['letters'], partitions: 2 });
  const written = await kafka.produce([
    { topic: 'letters', key: 'a', value: 'one', headers: { kind: 'é' }, partition: 1, timestamp: 1_700_000_000_000 },
    { topic: 'letters', key: 'b', value: null, partition: 1 },
  ]);
  const read = await kafka.read('letters');
  expect(written).toEqual([
    { partition: 1, offset: 0 },
    { partition: 1, offset: 1 },
  ]);
  expect(read[0]).toEqual({
    ...{ topic: 'letters', partition: 1, offset: 0, key: 'a', headers: { kind: 'é' }, timestamp: 1_700_000_000_000 },
    value: Buffer.from('one'),
  });
  expect(read[1]).toMatchObject({ key: 'b', value: null, offset: 1 });
});

test('two members of a group share its partitions, and one that leaves gives its own to the other', async () => {
  kafka = await startKafka({ topics: ['shared'], partitions: 2 });
  const first = await kafka.join('group', ['shared']);
  await until(() => first.assignments.at(-1)?.length === 2, { what: 'the first member has both partitions' });
  const second = await kafka.join('group', ['shared']);
  await until(() => first.assignments.at(-1)?.length === 1 && second.assignments.at(-1)?.length === 1, {
    what: 'each member has one partition',
  });
  await kafka.produce([0, 1].map((partition) => ({ topic: 'shared', value: `to ${partition}`, partition })));
  await until(() => first.messages.length === 1 && second.messages.length === 1, { what: 'each has its message' });
  await second.leave();
  await until(() => first.assignments.at(-1)?.length === 2, { what: 'the first member has both partitions again' });
  await first.leave();
  expect(await kafka.offsets('group', 'shared')).toEqual([
    { committed: 1, end: 1 },
    { committed: 1, end: 1 },
  ]);
});

test('a broker that was taken away answers again when it is back, and has what it had', async () => {
  kafka = await startKafka({ topics: ['away'], brokers: 2 });
  expect(kafka.servers).toHaveLength(2);
  await kafka.setBrokerDown();
  const sent = kafka.produce([{ topic: 'away', value: 'late' }]);
  await kafka.setBrokerUp();
  await sent;
  await kafka.pushErrors('produce', ['notEnoughReplicas', 'notLeader']);
  await kafka.produce([{ topic: 'away', value: 'after errors' }]);
  expect((await kafka.read('away')).map(({ value }) => value?.toString())).toEqual(['late', 'after errors']);
});
