/** Published tasks while the broker is away, behind the bound of what may be unanswered, and with encrypted payloads. */
import { randomUUID } from 'node:crypto';
import { afterEach, expect, test } from 'vitest';
import { accepted, field } from '../harness/client/client.ts';
import { until } from '../harness/until.ts';
import { type FlowKafka, openFlowKafka, published } from '../support/flow-kafka.ts';

let flow: FlowKafka;

afterEach(() => flow.close());

async function start(actions: readonly object[], more: object = {}, headers: Record<string, string> = {}) {
  const flow_definition = { name: `flow ${randomUUID()}`, actions };
  const answer = await flow.stack.api.post('/v1/runs', { flow_id: 'f', flow_definition, input: {}, ...more }, headers);
  return field(accepted(answer, 202), 'run_id');
}

const inOutbox = async () => (await flow.stack.db.query<{ run_id: string }>('SELECT run_id FROM flow_outbox')).rows;

test('what is decided while the broker is away is published when it is back, but for what was cancelled meanwhile', async () => {
  flow = await openFlowKafka();
  const { api } = flow.stack;
  await flow.kafka.setBrokerDown();
  const cancelled = await start([published('a')]);
  const slow = await start([published('b', {}, { timeout_seconds: 2, retry: { max_attempts: 1 } })]);
  const answered = await start([published('c')]);
  await until(async () => (await inOutbox()).length === 3);
  accepted(await api.post(`/workflows/executions/${cancelled}/cancel`), 202);
  await api.ended(cancelled);
  // Its time limit has not begun, however long the message waits.
  await until(
    async () =>
      (
        await flow.stack.db.query(
          `SELECT FROM external_task WHERE run_id = $1 AND created_at < now() - interval '3 seconds'`,
          [slow],
        )
      ).rows.length === 1,
  );
  expect(await api.execution(slow)).not.toMatchObject({ status: 'failed' });
  await flow.kafka.setBrokerUp();
  const [message] = await flow.published('task_queue', 1, answered);
  if (message !== undefined) await flow.done(message.body, { ok: 1 });
  expect(await api.finished(answered)).toMatchObject({ status: 'completed', output: { c: { ok: 1 } } });
  // Nobody answers this one: it has all of its time after its publication.
  expect(await api.finished(slow)).toMatchObject({ status: 'failed', error: { code: 'timeout' } });
  const { rows } = await flow.stack.db.query<{ had: number }>(
    'SELECT extract(epoch FROM ended_at - published_at)::float8 AS had FROM external_task WHERE run_id = $1',
    [slow],
  );
  expect(rows[0]?.had).toBeGreaterThanOrEqual(2);
  await until(async () => (await inOutbox()).length === 0);
  const all = await flow.kafka.read('task_queue');
  expect(all.filter(({ headers }) => headers['run_id'] === cancelled)).toEqual([]);
});

test('no more tasks are published than may be unanswered, and each answer makes room for the next', async () => {
  flow = await openFlowKafka({ MAX_CONCURRENT_TASKS: '2' });
  const ids = ['a', 'b', 'c', 'd', 'e'];
  const run = await start(ids.map((id) => published(id)));
  await until(async () => (await inOutbox()).length === 3);
  for (let answered = 0; answered < ids.length; answered += 1) {
    const messages = await flow.published('task_queue', Math.min(ids.length, answered + 2), run);
    expect(messages.length).toBeLessThanOrEqual(answered + 2);
    const next = messages.sort((one, other) => one.timestamp - other.timestamp)[answered];
    if (next !== undefined) await flow.done(next.body, answered);
    await until(async () => {
      const { rows } = await flow.stack.db.query(
        `SELECT FROM external_task WHERE run_id = $1 AND status = 'completed'`,
        [run],
      );
      return rows.length > answered;
    });
  }
  expect(await flow.stack.api.finished(run)).toMatchObject({ status: 'completed' });
});

test('with encrypted payloads nothing of a message lies in the clear, and it goes out as it is', async () => {
  const secret = `pineapple-${randomUUID()}`;
  flow = await openFlowKafka({
    SECRETS_KEY: Buffer.alloc(32, 7).toString('base64'),
    ENCRYPT_PAYLOADS: 'true',
  });
  const { db, api } = flow.stack;
  await flow.kafka.setBrokerDown();
  const run = await start(
    [published('hidden', { word: secret }, { retry: { max_attempts: 1 } })],
    { execution_context: { word: secret } },
    { 'X-Tenant-ID': 'other' },
  );
  await until(async () => (await inOutbox()).length === 1);
  const stored = await db.query<{ row: string }>('SELECT row_to_json(o)::text AS row FROM flow_outbox o');
  expect(stored.rows[0]?.row).not.toContain('pineapple');
  expect(stored.rows[0]?.row).toContain('$enc');
  await flow.kafka.setBrokerUp();
  const [message] = await flow.published('task_queue', 1, run);
  expect(message?.body).toMatchObject({
    inputs: { word: secret },
    execution_context: { word: secret },
    tenant_id: 'other',
  });
  // Another tenant's name in an answer makes it one of no task.
  if (message === undefined) throw new Error('nothing was published');
  await flow.done(message.body, { word: secret }, { tenant_id: 'default' });
  await flow.failed(message.body, `no ${secret}`, { tenant_id: 'other' });
  const [letter] = await flow.published('dead_letter_queue', 1, run);
  expect(letter?.body).toMatchObject({
    inputs: { word: secret },
    error: `no ${secret}`,
    tenant_id: 'other',
    attempts: 1,
  });
  const external = await db.query<{ row: string }>('SELECT row_to_json(e)::text AS row FROM external_task e');
  expect(external.rows[0]?.row).not.toContain('pineapple');
  expect((await api.get(`/v1/runs/${run}`, { 'X-Tenant-ID': 'other' })).body).toMatchObject({ status: 'FAILED' });
  expect((await api.get(`/v1/runs/${run}`)).status).toBe(404);
});
