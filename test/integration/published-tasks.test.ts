/** External tasks over Kafka: what is published of them, what answers bring about, and what becomes a dead letter. */
import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { accepted, field, list } from '../harness/client/client.ts';
import { until } from '../harness/until.ts';
import { expectProblem, taskOf } from '../support/expect-answers.ts';
import { type FlowKafka, openFlowKafka, published } from '../support/flow-kafka.ts';
import { workflow } from '../support/test-task.ts';

const ISO = expect.stringMatching(/^\d{4}-\d\d-\d\dT[\d:.]+Z$/);
const UUID = expect.stringMatching(/^[0-9a-f-]{36}$/);
const QUICK = { max_attempts: 2, backoff: 'fixed', initial_delay_seconds: 0.1, jitter: 0 };

let flow: FlowKafka;

beforeAll(async () => {
  flow = await openFlowKafka({ EXTERNAL_HTTP_TOPICS: 'leased', KAFKA_MAX_MESSAGE_BYTES: '20000' });
});

afterAll(() => flow.close());

/** A flow run of these actions. */
async function start(actions: readonly object[], more: object = {}): Promise<string> {
  const flow_definition = { name: `flow ${randomUUID()}`, actions };
  const answer = await flow.stack.api.post('/v1/runs', { flow_id: 'f', flow_definition, input: {}, ...more });
  return field(accepted(answer, 202), 'run_id');
}

const isOf = (fields: object | undefined, runId: string) => Reflect.get(fields ?? {}, 'run_id') === runId;

describe('a published task', () => {
  test('has every field, its key and its headers, is never leased over HTTP, and its answer completes the run', async () => {
    const { api } = flow.stack;
    const context = { shop: 'north' };
    const id = await start([published('t1', { sku: 'A-1' }, { timeout_seconds: 300, retry: { max_attempts: 4 } })], {
      execution_context: context,
    });
    const [message] = await flow.published('task_queue', 1, id);
    expect(message?.body).toEqual({
      ...{ run_id: id, task_id: 't1', handler: 'handler-t1', inputs: { sku: 'A-1' }, attempt: 0, max_retries: 3 },
      ...{ timeout: 300, correlation_id: id, tenant_id: 'default', user_id: 'anonymous', execution_context: context },
      created_at: ISO,
    });
    expect(message?.key).toBe('t1');
    expect(message?.headers).toEqual({
      traceparent: expect.stringMatching(/^00-[0-9a-f]{32}-[0-9a-f]{16}-0[01]$/),
      ...{ run_id: id, attempt: '0', lease_token: UUID },
    });
    expect((await api.post('/tasks/poll', { topic: 'handler-t1', worker_id: 'w' })).body).toEqual({ tasks: [] });
    expect((await api.get('/external-tasks?topic=handler-t1')).body).toMatchObject({ total: 0, topics: [] });
    if (message !== undefined) await flow.done(message.body, { ok: true });
    const run = await api.finished(id);
    expect(run).toMatchObject({ status: 'completed', output: { t1: { ok: true } } });
    expect((await flow.published('task_queue', 1, id)).length).toBe(1);
  });

  test('of a flow that came as a message has its fields, and the answer of an older executor completes it', async () => {
    const { api } = flow.stack;
    const run_id = randomUUID();
    const tasks = [{ id: 'task-id', handler: 'handler-name', inputs: {}, retries: 3, timeout: 300 }];
    const sent = {
      ...{
        event_type: 'flow_run_requested',
        run_id,
        correlation_id: 'corr-1',
        flow_id: 'flow-id',
        tenant_id: 'default',
      },
      ...{ user_id: 'user-id', input: {}, flow_definition: { id: 'flow-id', version: '1', type: 'DAG', tasks } },
      execution_context: {},
    };
    await flow.kafka.produce([{ topic: 'flow_runs', key: run_id, value: JSON.stringify(sent) }]);
    const [message] = await flow.published('task_queue', 1, run_id);
    expect(message?.key).toBe('task-id');
    expect(message?.body).toEqual({
      ...{ run_id, task_id: 'task-id', handler: 'handler-name', inputs: {}, attempt: 0, max_retries: 3, timeout: 300 },
      ...{ correlation_id: 'corr-1', tenant_id: 'default', user_id: 'user-id', execution_context: {}, created_at: ISO },
    });
    const answer = { run_id, task_id: 'task-id', output: {}, execution_time_ms: 1500 };
    await flow.kafka.produce([{ topic: 'task_done', key: 'task-id', value: JSON.stringify(answer) }]);
    await api.finished(run_id);
    expect((await api.get(`/v1/runs/${run_id}`)).body).toMatchObject({
      status: 'COMPLETED',
      output: { 'task-id': {} },
    });
  });

  test('of a topic that stays with HTTP is leased there, and not published', async () => {
    const { api } = flow.stack;
    const id = await api.execute(
      await api.createWorkflow(
        workflow([{ action_id: 'h', action_type: 'external', config: { topic: 'leased', input: {} } }]),
      ),
    );
    const task = await until(async () => {
      const { body } = await api.post('/tasks/poll', { topic: 'leased', worker_id: 'w' });
      return (body as { tasks: Array<{ task_id: string; lease_token: string }> }).tasks[0];
    });
    const { task_id, lease_token } = task;
    accepted(await api.post(`/tasks/${task_id}/complete`, { lease_token, output: 1 }), 200);
    await api.finished(id);
    expect((await flow.kafka.read('task_queue')).filter(({ headers }) => headers['run_id'] === id)).toEqual([]);
  });

  test('that fails is published again with its number and delay, and after its last attempt is a dead letter', async () => {
    const { api, db } = flow.stack;
    const retry = { max_attempts: 3, backoff: 'exponential', initial_delay_seconds: 0.2, multiplier: 2, jitter: 0 };
    const id = await start([published('breaks', { n: 1 }, { retry })], { execution_context: { a: 1 } });
    for (let attempt = 0; attempt < 3; attempt += 1) {
      const messages = await flow.published('task_queue', attempt + 1, id);
      const newest = messages.find(({ body }) => body.attempt === attempt);
      expect(newest?.body).toMatchObject({ attempt, max_retries: 2, handler: 'handler-breaks' });
      expect(newest?.body['is_retry']).toBe(attempt === 0 ? undefined : true);
      expect(newest?.headers).toMatchObject({ attempt: String(attempt) });
      if (newest !== undefined) await flow.failed(newest.body, `no ${attempt}`, { attempt, max_retries: 2 });
    }
    expect(await api.ended(id)).toMatchObject({ status: 'failed' });
    const [letter] = await flow.published('dead_letter_queue', 1, id);
    expect(letter?.key).toBe('breaks');
    expect(letter?.body).toEqual({
      ...{ run_id: id, task_id: 'breaks', handler: 'handler-breaks', inputs: { n: 1 }, attempts: 3, max_retries: 2 },
      ...{ error: 'no 2', correlation_id: id, tenant_id: 'default', user_id: 'anonymous' },
      ...{ created_at: ISO, moved_to_dlq_at: ISO },
    });
    const { rows } = await db.query<{ waited: number }>(
      `SELECT extract(epoch FROM n.published_at - e.ended_at)::float8 AS waited FROM external_task e
       JOIN external_task n ON n.run_id = e.run_id AND n.attempt = e.attempt + 1 WHERE e.run_id = $1 ORDER BY e.attempt`,
      [id],
    );
    expect(rows.length).toBe(2);
    expect(rows[0]?.waited).toBeGreaterThanOrEqual(0.2);
    expect(rows[1]?.waited).toBeGreaterThanOrEqual(0.4);
  });

  test('that is too large for a message carries a link to its inputs, for the tenant and role that may read it', async () => {
    const { api } = flow.stack;
    const text = 'x'.repeat(30_000);
    const id = await start([published('large', { text })]);
    const [message] = await flow.published('task_queue', 1, id);
    expect(message?.body).not.toHaveProperty('inputs');
    expect(message?.body).toMatchObject({ execution_context: {}, attempt: 0 });
    const ref = String(message?.body['inputs_ref']);
    expect(ref).toBe(`/v1/tasks/${id}/large/inputs?attempt=0`);
    expect((await api.get(ref)).body).toEqual({
      ...{ run_id: id, task_id: 'large', handler: 'handler-large', attempt: 0, inputs: { text } },
      execution_context: {},
    });
    expectProblem(await api.get(ref, { 'X-Tenant-ID': 'other' }), 404, 'not_found');
    expectProblem(await api.get(`/v1/tasks/${id}/large/inputs?attempt=4`), 404, 'not_found');
    expectProblem(await api.get(`/v1/tasks/${id}/large/inputs?attempt=-1`), 400, 'invalid_request');
    if (message !== undefined) await flow.done(message.body, 1);
    await api.finished(id);
  });

  test('is not published when its run was cancelled before, and a success that comes after a cancellation is a late effect', async () => {
    const { api, db } = flow.stack;
    const id = await start([published('gone')]);
    const [message] = await flow.published('task_queue', 1, id);
    accepted(await api.post(`/workflows/executions/${id}/cancel`), 202);
    await api.ended(id);
    if (message !== undefined) for (const _ of [1, 2]) await flow.done(message.body, { late: true });
    const effects = await until(async () => {
      const found = list(await api.get(`/infrastructure/late-effects?execution_id=${id}`), 'items');
      return found.length > 0 && found;
    });
    expect(effects).toMatchObject([{ execution_id: id, action_id: 'gone', attempt: 1 }]);
    // What came twice is written down once: the answer behind it is of another run, and is taken by now.
    const other = await start([published('gone')]);
    const [next] = await flow.published('task_queue', 1, other);
    if (next !== undefined) await flow.done(next.body, 1);
    await api.finished(other);
    expect(list(await api.get(`/infrastructure/late-effects?execution_id=${id}`), 'items').length).toBe(1);
    const { rows } = await db.query('SELECT FROM flow_outbox');
    expect(rows.length).toBe(0);
  });

  test('that nobody answers in time fails by its time limit; a late failure is passed over and a late success wins', async () => {
    const { api, log } = flow.stack;
    const slow = { timeout_seconds: 1, retry: { ...QUICK, initial_delay_seconds: 0.1, max_attempts: 5 } };
    const id = await start([published('slow', {}, slow)]);
    const messages = await flow.published('task_queue', 2, id);
    const first = messages.find(({ body }) => body.attempt === 0);
    if (first === undefined) throw new Error('no first attempt');
    // Its work began before the second attempt was published.
    await flow.failed(first.body, 'late', { execution_time_ms: 60_000 });
    await until(() => log.lines.some(({ event, fields }) => event === 'task_answer_late' && isOf(fields, id)));
    expect(taskOf(await api.execution(id), 'slow').status).not.toBe('failed');
    await flow.done(first.body, { by: 'the first' });
    expect(await api.finished(id)).toMatchObject({ status: 'completed', output: { slow: { by: 'the first' } } });
  });

  test('nobody knows of is passed over and counted, and what cannot be read is a dead letter with its code', async () => {
    const { api, log } = flow.stack;
    const unknown = { run_id: randomUUID(), task_id: 't', attempt: 0 };
    await flow.done(unknown, 1);
    const written = [
      ['not json', 'invalid_json'],
      ['[]', 'invalid_message'],
      ['{"run_id": "r"}', 'invalid_message'],
      [JSON.stringify({ run_id: 'r', task_id: 't', output: 'x'.repeat(30_000) }), 'message_too_large'],
      ['{"run_id": "r", "task_id": "t", "output": "\\u0000"}', 'invalid_message'],
    ];
    const messages = written.map(([value = '']) => ({ topic: 'task_done', key: 'bad', value }));
    await flow.kafka.produce([...messages, { topic: 'task_failed', key: 'bad', value: null }]);
    const letters = await until(async () => {
      const all = await flow.kafka.read('dead_letter_queue');
      const bad = all.filter(({ key }) => key === 'bad');
      return bad.length === written.length + 1 && bad.map(({ value }) => JSON.parse(String(value)));
    });
    expect(letters.map(({ code }) => code).sort()).toEqual([...written.map(([, code]) => code), 'invalid_json'].sort());
    await until(() =>
      log.lines.some(({ event, fields }) => event === 'task_answer_unknown' && isOf(fields, unknown.run_id)),
    );
    const metrics = (await api.get('/metrics')).text;
    expect(metrics).toMatch(/orchestrator_kafka_messages_total\{topic="task_done",result="ignored"[^}]*\} 1/);
  });
});
