/** What operators see of the messages of flow runs: why tasks wait, the broker's health, metrics, and what the doctor finds. */
import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { examine } from '../../src/compose/doctor.ts';
import { loadConfig } from '../../src/config/config.ts';
import type { Finding } from '../../src/doctor/finding.ts';
import { whyOfRun } from '../../src/schemas/why.ts';
import { accepted, field } from '../harness/client/client.ts';
import { until } from '../harness/until.ts';
import { type FlowKafka, openFlowKafka, published } from '../support/flow-kafka.ts';

let flow: FlowKafka;

beforeAll(async () => {
  flow = await openFlowKafka({ MAX_CONCURRENT_TASKS: '1' });
});

afterAll(() => flow.close());

async function start(actions: readonly object[]): Promise<string> {
  const flow_definition = { name: `flow ${randomUUID()}`, actions };
  return field(
    accepted(await flow.stack.api.post('/v1/runs', { flow_id: 'f', flow_definition, input: {} }), 202),
    'run_id',
  );
}

async function whyOf(run: string) {
  return whyOfRun.parse(accepted(await flow.stack.api.get(`/executions/${run}/why`), 200).body);
}

/** The causes of its tasks, by their ids. */
async function causesOf(run: string): Promise<Record<string, string>> {
  const { tasks } = await whyOf(run);
  return Object.fromEntries(tasks.map(({ action_id, cause }) => [action_id, cause.code]));
}

async function healthOf(name: string): Promise<unknown> {
  const { body } = accepted(await flow.stack.api.get('/health/system'), 200);
  return Reflect.get(Object(propertyOf(body, 'services')), name);
}

function propertyOf(body: unknown, name: string): unknown {
  return Reflect.get(Object(body), name);
}

async function findings(): Promise<Map<string, Finding>> {
  const { environment, databaseUrl } = flow.stack;
  const config = loadConfig(environment, { cwd: '/nowhere' });
  const all = await examine({ config, databaseUrl, repair: false, days: 7, confirmMs: 50 });
  return new Map(all.map((finding) => [finding.check, finding]));
}

test('a task waits for its answer, one more in the outbox, and both for a broker that is away', async () => {
  const run = await start([published('first'), published('second')]);
  const [message] = await flow.published('task_queue', 1, run);
  const first = message?.body.task_id ?? '';
  const second = first === 'first' ? 'second' : 'first';
  await until(async () => (await causesOf(run))[second] === 'outbox_waiting', { what: 'the second one is explained' });
  const why = await whyOf(run);
  expect(why.tasks.find(({ action_id }) => action_id === first)?.cause).toMatchObject({
    ...{ code: 'task_queue_no_answer', topic: 'task_queue', handler: `handler-${first}`, attempt: 0 },
    deadline: expect.any(String),
  });
  expect(why.root.cause.code).toBe('task_queue_no_answer');
  expect(await healthOf('kafka')).toMatchObject({ kind: 'broker', status: 'healthy' });

  await flow.kafka.setBrokerDown();
  try {
    await until(async () => (await causesOf(run))[first] === 'kafka_unreachable', { what: 'the broker is missed' });
    expect(await causesOf(run)).toEqual({ [first]: 'kafka_unreachable', [second]: 'kafka_unreachable' });
    await until(async () => propertyOf(await healthOf('kafka'), 'status') === 'unhealthy', { what: 'it is unhealthy' });
  } finally {
    await flow.kafka.setBrokerUp();
  }

  if (message !== undefined) await flow.done(message.body, 1);
  const [, next] = await flow.published('task_queue', 2, run);
  if (next !== undefined) await flow.done(next.body, 2);
  expect(await flow.stack.api.finished(run)).toMatchObject({ status: 'completed' });
});

test('metrics show the lag of each partition, what became of messages, late answers, and the age of the outbox', async () => {
  const run = await start([published('only')]);
  const [message] = await flow.published('task_queue', 1, run);
  if (message === undefined) throw new Error('nothing was published');
  await flow.done(message.body, 1);
  await flow.stack.api.finished(run);
  await flow.failed(message.body, 'too late', { attempt: 0 });
  await until(
    async () => {
      const { text } = await flow.stack.api.get('/metrics');
      return [
        /^orchestrator_kafka_lag\{topic="flow_runs",partition="1",service="orchestrator"\} 0$/m,
        /^orchestrator_kafka_lag\{topic="task_failed",partition="0",service="orchestrator"\} 0$/m,
        /^orchestrator_kafka_messages_total\{topic="task_queue",result="published",.*\} \d/m,
        /^orchestrator_kafka_messages_total\{topic="task_done",result="taken",.*\} \d/m,
        /^orchestrator_kafka_late_answers_total\{.*\} [1-9]/m,
        /^orchestrator_kafka_outbox_age_seconds\{.*\} \d/m,
      ].every((line) => line.test(text));
    },
    { what: 'all of them are shown' },
  );
});

test('the doctor finds the broker, topics and group as they should be, and a task that lost its message', async () => {
  const sound = await findings();
  for (const check of ['flow_broker', 'flow_topics', 'flow_group', 'flow_offsets', 'flow_messages', 'flow_outbox'])
    expect(sound.get(check), check).toMatchObject({ status: 'ok' });

  const run = await start([published('a'), published('b')]);
  const [message] = await flow.published('task_queue', 1, run);
  const waiting = await until(
    async () =>
      (await flow.stack.db.query('DELETE FROM flow_outbox WHERE run_id = $1 RETURNING external_task_id', [run]))
        .rows[0],
    { what: 'the other one is in the outbox' },
  );
  const lost = (await findings()).get('flow_messages');
  expect(lost).toMatchObject({ status: 'problem', ids: [waiting.external_task_id], total: 1 });

  accepted(await flow.stack.api.post(`/workflows/executions/${run}/cancel`, {}), 202);
  if (message !== undefined) await flow.done(message.body, 1);
  await flow.stack.api.finished(run);
});
