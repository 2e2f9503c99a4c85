/**
 * Many flow runs by messages of Kafka, over two consumers, while members of the group come and go, the brokers are away and the
 * database is. `npm test` takes a sample; `npm run test:flows` takes 100,000 messages, 20 rebalances, 60 and 30 seconds.
 */
import { randomUUID } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { setTimeout as later } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect } from 'vitest';
import { type Kafka, startKafka } from '../harness/kafka/start-kafka.ts';
import { type Child, endOrKill } from '../harness/processes/process.ts';
import { openPostgres, type StoreServer } from '../harness/servers/store-servers.ts';
import { until } from '../harness/until.ts';
import { flowRun } from '../support/kafka/bad-messages.ts';
import { type Processes, processesTest } from '../support/processes.ts';

const setting = (name: string, sample: number) => Number(process.env[name] ?? sample);
const MESSAGES = setting('FLOW_MESSAGES', 2_000);
const REBALANCES = setting('FLOW_REBALANCES', 4);
const BROKERS_AWAY_MS = setting('FLOW_BROKERS_AWAY_SECONDS', 2) * 1_000;
const DATABASE_AWAY_MS = setting('FLOW_DATABASE_AWAY_SECONDS', 2) * 1_000;
const IS_LONG = MESSAGES >= 50_000;

/** A partition of the mock brokers keeps 5 MB. */
const PARTITIONS = 16;
const PER_BATCH = 500;
const MINUTES_MS = 60_000;
const WAIT_MS = 30 * MINUTES_MS;
/** What a process may have more at the end than after a third of the messages. */
const GROWTH = 1.3;

let kafka: Kafka;
let postgres: StoreServer | undefined;
beforeAll(async () => {
  kafka = await startKafka();
});
afterAll(async () => {
  await kafka?.stop();
  await postgres?.close();
});

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
    /** `afterBatch` gets how many were published so far. */
    async publish(ids: readonly string[], afterBatch: (published: number) => Promise<unknown>) {
      for (let from = 0; from < ids.length; from += PER_BATCH) {
        const batch = ids.slice(from, from + PER_BATCH);
        await kafka.produce(
          batch.map((id, at) => ({
            ...{ topic, key: id, partition: at % PARTITIONS },
            value: JSON.stringify(flowRun({ run_id: id })),
          })),
        );
        await afterBatch(from + batch.length);
      }
    },
    lag: async () => {
      const offsets = await kafka.offsets(group, topic);
      return offsets.reduce((sum, { committed, end }) => sum + end - Math.max(0, committed ?? 0), 0);
    },
  };
}

const completed = async ({ db }: Processes) =>
  (await db.query<{ n: number }>(`SELECT count(*)::int AS n FROM run WHERE status = 'completed'`)).rows[0]?.n ?? 0;

async function expectEachOnce(processes: Processes, ids: readonly string[]): Promise<void> {
  await until(async () => (await completed(processes)) === ids.length, {
    what: `${ids.length} runs are completed`,
    timeoutMs: WAIT_MS,
  });
  const { db } = processes;
  const { rows } = await db.query<{ id: string }>('SELECT id FROM run');
  expect(rows.map(({ id }) => id).sort()).toEqual([...ids].sort());
  const twice = await db.query(`SELECT FROM attempt WHERE status = 'completed' GROUP BY run_id HAVING count(*) > 1`);
  expect(twice.rowCount).toBe(0);
  expect((await db.query('SELECT code, error FROM flow_dead_letter')).rows).toEqual([]);
}

async function residentMb({ pid }: Child): Promise<number> {
  const status = await readFile(`/proc/${pid}/status`, 'utf8');
  return Number(/VmRSS:\s+(\d+)/.exec(status)?.[1]) / 1024;
}

const manyIds = (count: number) => Array.from({ length: count }, () => randomUUID());

describe('flow runs by Kafka under load', () => {
  const test = processesTest('redis');
  const own = processesTest('redis', {
    async database() {
      postgres = await openPostgres();
      return { url: postgres.url, name: 'orchestrator', drop: async () => undefined };
    },
  });

  test(`${MESSAGES} messages over two consumers become as many runs, with a lag of 0 and flat memory`, async ({
    processes,
  }) => {
    const topic = await openTopic();
    await processes.start('worker');
    const consumers = [
      await processes.start('api', topic.environment),
      await processes.start('api', { ...topic.environment, PORT: '0' }),
    ];
    const ids = manyIds(MESSAGES);
    await topic.publish(ids, async () => undefined);
    await until(async () => (await completed(processes)) > MESSAGES / 3, { timeoutMs: WAIT_MS });
    const early = await Promise.all(consumers.map(residentMb));
    await expectEachOnce(processes, ids);
    await until(async () => (await topic.lag()) === 0, { what: 'nothing is left to be consumed' });
    const late = await Promise.all(consumers.map(residentMb));
    process.stdout.write(
      `consumers, MB after a third and at the end: ${early.map(Math.round)}, ${late.map(Math.round)}\n`,
    );
    // A process that has just started grows whatever it does.
    if (IS_LONG) for (const [at, mb] of late.entries()) expect(mb).toBeLessThan((early[at] ?? 0) * GROWTH);
  });

  test(`${REBALANCES} rebalances and brokers that are away for a while, under load, lose and double nothing`, async ({
    processes,
  }) => {
    const topic = await openTopic();
    await processes.compose('worker');
    await processes.compose('api', topic.environment);
    const ids = manyIds(MESSAGES);
    let guest: Child | undefined;
    let changes = 0;
    let wasAway = false;
    const disturb = async (published: number) => {
      if (changes < REBALANCES && published >= (MESSAGES * changes) / REBALANCES) {
        changes += 1;
        if (guest === undefined) guest = await processes.start('api', { ...topic.environment, PORT: '0' });
        else {
          const leaving = guest;
          guest = undefined;
          await endOrKill(leaving, MINUTES_MS);
        }
      }
      if (!wasAway && published >= MESSAGES / 2) {
        wasAway = true;
        await kafka.setBrokerDown();
        await later(BROKERS_AWAY_MS);
        await kafka.setBrokerUp();
      }
    };
    await topic.publish(ids, disturb);
    expect({ changes, wasAway }).toEqual({ changes: REBALANCES, wasAway: true });
    await expectEachOnce(processes, ids);
    await until(async () => (await topic.lag()) === 0, { what: 'nothing is left to be consumed', timeoutMs: WAIT_MS });
  });

  own('a database that is away for a while, under load, costs time and no run', async ({ processes }) => {
    const topic = await openTopic();
    await processes.start('worker');
    await processes.start('api', topic.environment);
    const ids = manyIds(MESSAGES);
    let wasAway = false;
    await topic.publish(ids, async (published) => {
      if (wasAway || published < MESSAGES / 2) return;
      await until(async () => (await completed(processes)) > 0);
      wasAway = true;
      await postgres?.crash(() => later(DATABASE_AWAY_MS));
    });
    expect(wasAway).toBe(true);
    await expectEachOnce(processes, ids);
    await until(async () => (await topic.lag()) === 0, { what: 'nothing is left to be consumed', timeoutMs: WAIT_MS });
  });
});
