/** Flow runs by messages of Kafka while processes die, brokers are away and tenants have used up what they may. */
import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, describe, expect } from 'vitest';
import { type Kafka, startKafka } from '../../harness/kafka/start-kafka.ts';
import { until } from '../../harness/until.ts';
import { flowRun } from '../../support/kafka/bad-messages.ts';
import { type Processes, processesTest } from '../../support/processes.ts';
import { hasEnded } from '../../support/scenario.ts';

const PARTITIONS = 4;

let kafka: Kafka;
beforeAll(async () => {
  kafka = await startKafka();
});
afterAll(() => kafka?.stop());

/** A topic and a group of its own. */
async function openTopic() {
  const topic = `flow_runs_${randomUUID()}`;
  const group = `group-${topic}`;
  await kafka.createTopic(topic, PARTITIONS);
  return {
    environment: {
      KAFKA_BOOTSTRAP_SERVERS: kafka.servers.join(','),
      KAFKA_AUTO_OFFSET_RESET: 'earliest',
      KAFKA_CONSUMER_GROUP: group,
      FLOW_RUNS_TOPIC: topic,
    },
    async publish(messages: ReadonlyArray<Record<string, unknown>>) {
      await kafka.produce(
        messages.map((message, at) => ({ topic, value: JSON.stringify(message), partition: at % PARTITIONS })),
      );
    },
    consumed: () =>
      until(async () => (await kafka.offsets(group, topic)).every(({ committed, end }) => committed === end), {
        what: 'the group has done with all messages',
      }),
  };
}

const flows = (count: number, input: object = {}) => Array.from({ length: count }, () => flowRun({ input }));

async function expectRuns({ db }: Processes, messages: ReadonlyArray<Record<string, unknown>>): Promise<void> {
  const wanted = [...new Set(messages.map((message) => String(message['run_id'])))].sort();
  const completed = async () =>
    (await db.query<{ n: number }>(`SELECT count(*)::int AS n FROM run WHERE status = 'completed'`)).rows[0]?.n;
  await until(async () => (await completed()) === wanted.length, { what: `${wanted.length} runs are completed` });
  const { rows: runs } = await db.query<{ id: string }>('SELECT id FROM run');
  expect(runs.map(({ id }) => id).sort()).toEqual(wanted);
  const { rows: requests } = await db.query<{ run_id: string }>('SELECT run_id FROM flow_run');
  expect(requests.map(({ run_id: id }) => id).sort()).toEqual(wanted);
  const { rows: twice } = await db.query(
    `SELECT run_id FROM attempt WHERE status = 'completed' GROUP BY run_id HAVING count(*) > 1`,
  );
  expect(twice).toEqual([]);
  expect((await db.query('SELECT code, error FROM flow_dead_letter')).rows).toEqual([]);
}

describe('flow runs by Kafka', () => {
  const test = processesTest('redis');

  test.for(['flow.afterPoll', 'flow.afterClaim', 'flow.beforeOffset'])(
    'an API that is killed at %s loses no message, and each becomes one run',
    async (failpoint, { processes }) => {
      const topic = await openTopic();
      const first = await processes.start('api', { ...topic.environment, FAILPOINTS: `${failpoint}:exit` });
      const messages = flows(40);
      await topic.publish(messages);
      await hasEnded(first);
      await processes.compose('api', topic.environment);
      await processes.compose('worker');
      await topic.consumed();
      await expectRuns(processes, messages);
    },
  );

  test('two consumers make one run of one id, also when one of them is killed under load', async ({ processes }) => {
    const topic = await openTopic();
    await processes.compose('worker');
    const doomed = await processes.start('api', topic.environment);
    await processes.compose('api', { ...topic.environment, PORT: '0' });
    const messages = flows(400);
    // Each comes twice, by two partitions.
    const published = (async () => {
      for (let at = 0; at < messages.length; at += 50) {
        const some = messages.slice(at, at + 50);
        await topic.publish(some.flatMap((message) => [message, message]));
      }
    })();
    const { db } = processes;
    await until(async () => ((await db.query('SELECT FROM run LIMIT 50')).rowCount ?? 0) >= 50);
    await doomed.end('SIGKILL');
    await published;
    await topic.consumed();
    await expectRuns(processes, messages);
  });

  test('a tenant that has used up what it may keeps its messages waiting, and none is lost', async ({ processes }) => {
    const topic = await openTopic();
    await processes.compose('api', { ...topic.environment, MAX_QUEUED_RUNS_PER_TENANT: '10' });
    const messages = flows(60);
    await topic.publish(messages);
    const { db } = processes;
    const runs = async () => (await db.query('SELECT FROM run')).rowCount ?? 0;
    await until(async () => (await runs()) >= 10);
    const waits = async () =>
      (await kafka.offsets(topic.environment.KAFKA_CONSUMER_GROUP, topic.environment.FLOW_RUNS_TOPIC)).some(
        ({ committed, end }) => (committed ?? 0) < end,
      );
    expect(await waits()).toBe(true);
    await processes.compose('worker');
    await topic.consumed();
    await expectRuns(processes, messages);
  });

  test('brokers that are away for a while cost time and no message', async ({ processes }) => {
    const topic = await openTopic();
    await processes.compose('worker');
    await processes.compose('api', topic.environment);
    const before = flows(50);
    await topic.publish(before);
    await topic.consumed();
    await kafka.setBrokerDown();
    try {
      await until(() => /Connection error|consuming from Kafka stopped/.test(processes.log()), {
        what: 'the log says so',
      });
      expect((await processes.api.get('/readyz')).status).toBe(200);
    } finally {
      await kafka.setBrokerUp();
    }
    const after = flows(50);
    await topic.publish(after);
    await topic.consumed();
    await expectRuns(processes, [...before, ...after]);
  });
});
