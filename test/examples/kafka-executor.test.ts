/** The executor of examples/kafka-executor, as it stands there, with a service and brokers of Kafka. */
import { type ChildProcess, spawn } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { findKafkaPython } from '../harness/kafka/python.ts';
import { until } from '../harness/until.ts';
import { type FlowKafka, openFlowKafka } from '../support/flow-kafka.ts';

const PROGRAM = 'examples/kafka-executor/executor.py';
const QUICK = { retry: { max_attempts: 2, backoff: 'fixed', initial_delay_seconds: 0.1, jitter: 0 } };

let flow: FlowKafka;
let folder: string;
const executors: ChildProcess[] = [];

beforeAll(async () => {
  flow = await openFlowKafka();
  folder = mkdtempSync(path.join(tmpdir(), 'kafka-executor-'));
});

afterAll(async () => {
  await Promise.all(executors.map(end));
  await flow.close();
  rmSync(folder, { recursive: true, force: true });
});

function startExecutor(group = 'executors'): ChildProcess {
  const child = spawn(findKafkaPython(), [PROGRAM], {
    stdio: 'inherit',
    env: {
      ...process.env,
      KAFKA_BOOTSTRAP_SERVERS: flow.kafka.servers.join(','),
      EXECUTOR_GROUP: group,
      EXECUTOR_DB: path.join(folder, 'answers.db'),
    },
  });
  executors.push(child);
  return child;
}

async function end(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  child.kill('SIGKILL');
  await once(child, 'exit');
}

const task = (action_id: string, topic: string, input: object, more: object = {}) => ({
  ...{ action_id, action_type: 'external', config: { topic, input }, ...QUICK },
  ...more,
});

async function request(flow_definition: object, input: object): Promise<string> {
  const run_id = randomUUID();
  const message = {
    ...{ event_type: 'flow_run_requested', run_id, correlation_id: randomUUID(), flow_id: 'words' },
    ...{ tenant_id: 'default', user_id: 'eve', input, flow_definition, execution_context: {} },
  };
  await flow.kafka.produce([{ topic: 'flow_runs', key: run_id, value: JSON.stringify(message) }]);
  await until(async () => (await flow.stack.api.get(`/v1/runs/${run_id}`)).status === 200, { what: 'there is a run' });
  return run_id;
}

test('it completes a flow of five tasks with one retry and one dead letter', async () => {
  startExecutor();
  const id = await request(
    {
      name: `words ${randomUUID()}`,
      parameters: [{ name: 'text', type: 'string' }],
      actions: [
        task('first', 'count_words', { text: '{{text}}' }),
        task('second', 'count_words', { text: 'one two' }),
        task('again', 'unsteady', {}, { depends_on: ['first', 'second'] }),
        task('broken', 'count_words', {}, { depends_on: ['again'], on_failure: 'continue' }),
        task('last', 'count_words', { text: 'after all' }, { depends_on: ['broken'], run_if: 'all_done' }),
      ],
    },
    { text: 'one two three' },
  );
  const run = await flow.stack.api.finished(id);
  expect(run).toMatchObject({ status: 'completed', user_id: 'eve' });
  expect(run).toMatchObject({
    tasks: expect.arrayContaining(
      [
        { action_id: 'first', status: 'completed', output: { words: 3 } },
        { action_id: 'again', status: 'completed', output: { attempt: 1 }, attempts: 2 },
        { action_id: 'broken', status: 'failed', attempts: 2 },
        { action_id: 'last', status: 'completed', output: { words: 2 } },
      ].map((one) => expect.objectContaining(one)),
    ),
  });
  const published = await flow.published('task_queue', 7, id);
  const retries = published.filter(({ body }) => body['is_retry'] === true);
  expect(retries.map(({ body }) => body.task_id).sort()).toEqual(['again', 'broken']);
  const [letter] = await flow.published('dead_letter_queue', 1, id);
  expect(letter?.body).toMatchObject({ task_id: 'broken', handler: 'count_words', attempts: 2 });
  expect(letter?.body['error']).toContain('KeyError');
});

test('a task that comes twice gets the same answer, also from an executor that was started again', async () => {
  const id = await request(
    { name: `words ${randomUUID()}`, actions: [task('only', 'count_words', { text: 'once' })] },
    {},
  );
  await flow.stack.api.finished(id);
  const [answer] = await flow.published('task_done', 1, id);
  await Promise.all(executors.map(end));
  // To another group everything comes from the start.
  startExecutor('again');
  const answers = await flow.published('task_done', 2, id);
  expect(String(answers[1]?.value)).toBe(String(answer?.value));
  expect(await flow.stack.api.get(`/v1/runs/${id}`)).toMatchObject({ body: { status: 'COMPLETED' } });
});
