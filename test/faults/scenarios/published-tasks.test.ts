/** Published tasks: API processes that are killed between a decision, its message, its mark, and the answer. */
import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, describe, expect } from 'vitest';
import { accepted, field } from '../../harness/client/client.ts';
import { type Kafka, startKafka } from '../../harness/kafka/start-kafka.ts';
import { until } from '../../harness/until.ts';
import { published, TOPICS } from '../../support/flow-kafka.ts';
import { onBothBackendsInProcesses, type Processes } from '../../support/processes.ts';
import { hasEnded } from '../../support/scenario.ts';

const [onRedis] = onBothBackendsInProcesses();
if (onRedis === undefined) throw new Error('there is no Redis');
const { test } = onRedis;

let kafka: Kafka;

beforeAll(async () => {
  kafka = await startKafka({ topics: TOPICS, partitions: 1 });
});

afterAll(() => kafka.stop());

function settings(more: Record<string, string> = {}) {
  return {
    KAFKA_BOOTSTRAP_SERVERS: kafka.servers.join(','),
    KAFKA_AUTO_OFFSET_RESET: 'earliest',
    ...more,
  };
}

async function start({ api }: Processes): Promise<string> {
  const flow_definition = { name: `flow ${randomUUID()}`, actions: [published('only', { n: 1 })] };
  return field(accepted(await api.post('/v1/runs', { flow_id: 'f', flow_definition, input: {} }), 202), 'run_id');
}

const messagesOf = async (runId: string) =>
  (await kafka.read('task_queue')).filter(({ headers }) => headers['run_id'] === runId);

/** A group and a topic of answers of its own: nothing of the tests before comes to it. */
async function own() {
  const name = randomUUID();
  await kafka.createTopic(`done-${name}`, 1);
  return { KAFKA_CONSUMER_GROUP: name, TASK_DONE_TOPIC: `done-${name}` };
}

const answer = ({ TASK_DONE_TOPIC: topic }: { TASK_DONE_TOPIC: string }, runId: string, output: unknown) =>
  kafka.produce([
    {
      topic,
      key: 'only',
      value: JSON.stringify({ run_id: runId, task_id: 'only', output, execution_time_ms: 1 }),
      timestamp: Date.now(),
    },
  ]);

/** Exactly one attempt, one outcome, and nothing left to publish. */
async function expectOneResult({ api, db }: Processes, runId: string, output: unknown): Promise<void> {
  expect(await api.finished(runId)).toMatchObject({ status: 'completed', output: { only: output } });
  const attempts = await db.query('SELECT status FROM external_task WHERE run_id = $1', [runId]);
  expect(attempts.rows).toEqual([{ status: 'completed' }]);
  const events = await db.query(`SELECT FROM event WHERE run_id = $1 AND kind = 'task.completed'`, [runId]);
  expect(events.rows.length).toBe(1);
  await until(async () => (await db.query('SELECT FROM flow_outbox')).rows.length === 0);
}

describe('an API that is killed', () => {
  test.for(['outbox.beforePublish', 'outbox.afterPublish'])(
    'at %s leaves the message in the outbox, and another one publishes it',
    async (failpoint, { processes }) => {
      const copies = failpoint === 'outbox.afterPublish' ? 2 : 1;
      const group = await own();
      const first = await processes.start('api', settings({ ...group, FAILPOINTS: `${failpoint}:exit` }));
      await processes.compose('worker', settings());
      const run = await start(processes);
      await hasEnded(first);
      expect((await messagesOf(run)).length).toBe(copies - 1);
      await processes.compose('api', settings(group));
      await until(async () => (await messagesOf(run)).length === copies);
      const found = await messagesOf(run);
      // It is the same message, whose token makes it known.
      expect(new Set(found.map(({ headers }) => headers['lease_token'])).size).toBe(1);
      for (const n of found.keys()) await answer(group, run, { n });
      await expectOneResult(processes, run, { n: 0 });
    },
  );

  test.for(['answers.beforeCommit', 'answers.afterCommit'])(
    'at %s has its answer taken again by another one, and it counts once',
    async (failpoint, { processes }) => {
      const group = await own();
      const first = await processes.start('api', settings({ ...group, FAILPOINTS: `${failpoint}:exit` }));
      await processes.compose('worker', settings());
      const run = await start(processes);
      await until(async () => (await messagesOf(run)).length === 1);
      await answer(group, run, { n: 1 });
      await hasEnded(first);
      const { rows } = await processes.db.query('SELECT status FROM external_task WHERE run_id = $1', [run]);
      expect(rows).toEqual([{ status: failpoint === 'answers.beforeCommit' ? 'leased' : 'completed' }]);
      await processes.compose('api', settings(group));
      await expectOneResult(processes, run, { n: 1 });
      await until(async () =>
        (await kafka.offsets(group.KAFKA_CONSUMER_GROUP, group.TASK_DONE_TOPIC)).every(
          ({ committed, end }) => committed === end,
        ),
      );
    },
  );
});
