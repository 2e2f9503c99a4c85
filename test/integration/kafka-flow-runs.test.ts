/** Flow runs by messages of Kafka: they become runs under their own ids, or dead letters that say why. */
import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { removeOldMessages } from '../../src/features/flow-runner/retention.ts';
import { type Kafka, startKafka } from '../harness/kafka/start-kafka.ts';
import { until } from '../harness/until.ts';
import { badMessages, FLOW, flowRun } from '../support/kafka/bad-messages.ts';
import { openStack, type Stack } from '../support/stack.ts';
import { echo, workflow } from '../support/test-task.ts';

const GROUP = 'orchestrator-service';
const MAX_BYTES = 200_000;

let kafka: Kafka;
let stack: Stack;

beforeAll(async () => {
  kafka = await startKafka({ topics: ['flow_runs', 'dead_letter_queue'], partitions: 2 });
  stack = await openStack('redis', {
    environment: {
      KAFKA_BOOTSTRAP_SERVERS: JSON.stringify(kafka.servers),
      KAFKA_AUTO_OFFSET_RESET: 'earliest',
      KAFKA_MAX_MESSAGE_BYTES: String(MAX_BYTES),
      KAFKA_TENANTS: 'default,other',
      KAFKA_HANDLERS: 'published_*',
      MAX_QUEUED_RUNS_PER_TENANT: '50',
    },
  });
});
afterAll(async () => {
  await stack?.stop();
  await kafka?.stop();
});

async function publish(values: ReadonlyArray<object | string | Buffer | null>, partition = 0): Promise<void> {
  await kafka.produce(
    values.map((value) => ({
      ...{ topic: 'flow_runs', partition },
      value: value === null || typeof value === 'string' || Buffer.isBuffer(value) ? value : JSON.stringify(value),
    })),
  );
}

/** All that was published is done with. */
async function consumed(): Promise<void> {
  await until(async () => (await kafka.offsets(GROUP, 'flow_runs')).every(({ committed, end }) => committed === end), {
    what: 'the group has done with all messages',
  });
}

// biome-ignore lint/suspicious/noExplicitAny: what an answer has is what is tested.
type Body = any;
const get = async (path: string, tenant = 'default'): Promise<Body> =>
  (await stack.api.get(path, { 'X-Tenant-ID': tenant })).body;
const post = async (path: string, body: object): Promise<Body> => (await stack.api.post(path, body)).body;
const run = (id: string) => get(`/v1/runs/${encodeURIComponent(id)}`);
const completed = (id: string) =>
  until(async () => (await run(id)).status === 'COMPLETED', { what: `${id} completes` });
const letters = async (query = ''): Promise<Body[]> => (await get(`/infrastructure/dlq?limit=200${query}`)).items;
/** The dead letters with a number that were published, once nothing is left to be published. */
async function publishedLetters(): Promise<Body[]> {
  await until(async () => (await stack.db.query('SELECT FROM flow_outbox')).rowCount === 0, {
    what: 'the outbox is published',
  });
  const letters = (await kafka.read('dead_letter_queue')).map(({ value }) => JSON.parse(String(value)));
  return letters.filter(({ headers }) => headers['x-number'] !== undefined);
}

test('a message of the older ingress becomes the run that it describes, field by field', async () => {
  const runId = randomUUID();
  const message = {
    ...{ event_type: 'flow_run_requested', run_id: runId, correlation_id: 'c-16', flow_id: 'flow-id' },
    ...{ tenant_id: 'other', user_id: 'user-16', input: { sku: 'A' } },
    flow_definition: { ...FLOW, tasks: [{ id: 'a', handler: 'test_task', inputs: { sku: '{{params.sku}}' } }] },
    ...{ execution_context: { shop: 's' }, request_id: 'r', status: 'PENDING', priority: 'high' },
    metadata: { created_at: '2026-01-01T00:00:00Z', api_version: 'v1', client_ip: '127.0.0.1', user_agent: 'x' },
  };
  const traceId = 'ab'.repeat(16);
  await kafka.produce([
    {
      topic: 'flow_runs',
      key: runId,
      value: JSON.stringify(message),
      headers: { traceparent: `00-${traceId}-${'cd'.repeat(8)}-01` },
    },
  ]);
  const shown = await until(async () => {
    const body = await get(`/v1/runs/${runId}`, 'other');
    return body.status === 'COMPLETED' ? body : undefined;
  });
  expect(shown).toMatchObject({
    ...{ run_id: runId, flow_id: 'flow-id', tenant_id: 'other', status: 'COMPLETED', input: { sku: 'A' }, error: null },
    output: { a: { sku: 'A' } },
  });
  const { rows } = await stack.db.query('SELECT * FROM run WHERE id = $1', [runId]);
  expect(rows).toEqual([
    expect.objectContaining({
      ...{ tenant_id: 'other', user_id: 'user-16', correlation_id: 'c-16', priority: 25, trace_id: traceId },
      execution_context: { shop: 's' },
    }),
  ]);
  await consumed();
  // Nobody else sees it.
  expect((await stack.api.get(`/v1/runs/${runId}`)).status).toBe(404);
});

test('the same message changes nothing however often it comes, and the first of two others with its id counts', async () => {
  const [first, second] = [flowRun({ input: { n: 1 } }), flowRun({ input: { n: 1 } })];
  const conflicting = { ...second, input: { n: 2 } };
  await publish([first, first, second, conflicting, second, first]);
  await consumed();
  await completed(String(first['run_id']));
  await completed(String(second['run_id']));
  expect((await run(String(second['run_id']))).input).toEqual({ n: 1 });
  const conflicts = await letters('&error_code=run_id_conflict');
  expect(conflicts.map((letter) => decoded(letter.message.original_base64))).toEqual([conflicting]);
});

test('messages that can never be taken in become dead letters with their code, and none keeps a partition from going on', async () => {
  const { api, db } = stack;
  const parameters = [
    { name: 'count', type: 'integer', required: true },
    { name: 'code', type: 'string', required: false, min_length: 3 },
  ];
  const counting = await api.createWorkflow({
    ...workflow([echo('a')]),
    parameters,
  });
  const paused = await api.createWorkflow(workflow([echo('a')]));
  await api.post(`/workflows/${paused}/pause`, {});
  const deleted = await api.createWorkflow(workflow([echo('a')]));
  await api.send('DELETE', `/workflows/${deleted}`);
  const { run_id: runId } = await post('/v1/runs', { flow_id: 'order', flow_definition: FLOW });
  await db.query('DELETE FROM flow_dead_letter');

  const bad = badMessages({ counting, paused, deleted, runId, maxBytes: MAX_BYTES });
  expect(bad.length).toBeGreaterThanOrEqual(60);
  expect(new Set(bad.map(({ code }) => code)).size).toBe(7);
  const good = [0, 1].map(() => flowRun());
  const headers = (index: number) => ({ 'x-number': String(index) });
  await kafka.produce(
    bad.map(({ value, key }, index) => ({
      ...{ topic: 'flow_runs', partition: index % 2, value, headers: headers(index) },
      ...(key === undefined ? {} : { key }),
    })),
  );
  for (const [partition, message] of good.entries()) await publish([message], partition);
  await Promise.all(good.map((message) => completed(String(message['run_id']))));
  await consumed();

  const rows = (
    await db.query(
      `SELECT headers->>'x-number' AS number, code, error, original, tenant_id, topic, partition, message_offset FROM flow_dead_letter`,
    )
  ).rows;
  const messages = await publishedLetters();
  const found = new Map(rows.map((row) => [row.number, row]));
  const sent = new Map(messages.map((message) => [message.headers['x-number'], message]));
  const wrong = bad.flatMap(({ name, code }, index) => {
    const row = found.get(String(index));
    return row?.code === code && row.error.length > 0
      ? []
      : [`${name}: ${row?.code} (${row?.error}) instead of ${code}`];
  });
  expect(wrong).toEqual([]);
  expect(rows.length).toBe(bad.length);
  expect(messages.length).toBe(bad.length);
  for (const [index, { value, code }] of bad.entries()) {
    const bytes = Buffer.from(value ?? '');
    const row = found.get(String(index));
    const message = sent.get(String(index));
    expect(Buffer.from(row.original, 'base64').equals(bytes)).toBe(true);
    const fits = bytes.length < MAX_BYTES / 2;
    expect(message).toEqual({
      ...{ error: row.error, code, topic: 'flow_runs', partition: index % 2, offset: row.message_offset },
      headers: headers(index),
      original_base64: value === null || !fits ? null : bytes.toString('base64'),
      original_bytes: bytes.length,
    });
    expect(Buffer.byteLength(JSON.stringify(message))).toBeLessThan(MAX_BYTES);
  }
  // What another tenant may not send is nothing that it gets to see.
  const ofOthers = rows.filter(({ code }) => code === 'tenant_not_allowed');
  expect(new Set(ofOthers.map(({ tenant_id: tenant }) => tenant))).toEqual(new Set(['default']));
});

test('a handler without an adapter is a task for executors outside, where the setting names it, also of a stored workflow', async () => {
  const { api, db } = stack;
  const flow = (handler: string) => ({
    ...FLOW,
    tasks: [{ id: 'a', handler, inputs: { n: 1 }, retries: 2, timeout: 77 }],
  });
  const message = flowRun({ flow_definition: flow('published_one') });
  await publish([message]);
  const stored = await api.send('POST', '/workflows', { ...flow('published_two'), id: 'published' });
  expect(stored.status).toBe(201);
  expect((await api.post('/workflows', flow('resize'))).status).toBe(422);
  expect((await api.post('/v1/runs', { flow_id: 'f', flow_definition: flow('resize') })).body).toMatchObject({
    code: 'unknown_handler',
  });
  const other = flowRun({ flow_id: 'published', flow_definition: {} });
  await publish([other]);
  const tasks = await until(async () => {
    const { rows } = await db.query('SELECT run_id, topic, input FROM external_task ORDER BY topic');
    return rows.length === 2 ? rows : undefined;
  });
  expect(tasks).toEqual([
    { run_id: message['run_id'], topic: 'published_one', input: { n: 1 } },
    { run_id: other['run_id'], topic: 'published_two', input: { n: 1 } },
  ]);
  for (const { run_id: id } of tasks) await api.post(`/workflows/executions/${id}/cancel`, {});
});

test('dead letters are listed page by page among the tasks, counted, discarded, and published again by a retry', async () => {
  const { api, db } = stack;
  await db.query('DELETE FROM flow_dead_letter');
  const flow = await api.createWorkflow(workflow([echo('a')]));
  await api.post(`/workflows/${flow}/pause`, {});
  const waiting = flowRun({ flow_id: flow, flow_definition: {} });
  const failing = flowRun({
    flow_definition: { ...FLOW, tasks: [{ id: 't', handler: 'test_task', inputs: { fail_with: 'no' }, retries: 0 }] },
  });
  await publish([waiting, '{', failing, flowRun({ tenant_id: 'other', priority: 'soon' })]);
  await until(async () => (await run(String(failing['run_id']))).status === 'FAILED');
  await consumed();

  const pages: Array<{ event_id: string }> = [];
  let cursor: string | null = '';
  while (cursor !== null) {
    const body = await get(`/infrastructure/dlq?limit=1${cursor === '' ? '' : `&cursor=${cursor}`}`);
    expect(body.total).toBe(3);
    pages.push(...body.items);
    cursor = body.next_cursor;
  }
  expect(new Set(pages.map(({ event_id: id }) => id)).size).toBe(3);
  expect(pages).toEqual((await get('/infrastructure/dlq')).items);
  expect(await get('/infrastructure/dlq/stats')).toMatchObject({
    failed_events: 3,
    retryable_events: 3,
    retried_events: 0,
  });
  // The other tenant has its own, and no other.
  const others = await get('/infrastructure/dlq', 'other');
  expect(others.items).toEqual([
    expect.objectContaining({ error: expect.objectContaining({ code: 'invalid_message' }) }),
  ]);

  const [letter] = await letters('&error_code=invalid_message');
  expect(letter).toMatchObject({
    ...{ execution_id: null, retryable: true, error: { code: 'invalid_message' } },
    message: { topic: 'flow_runs', partition: 0, key: null, headers: {} },
  });
  expect(decoded(letter.message.original_base64)).toEqual(waiting);
  await api.post(`/workflows/${flow}/resume`, {});
  expect(await post('/infrastructure/dlq/retry', { event_ids: [letter.event_id] })).toMatchObject({
    retried_events: 1,
  });
  await completed(String(waiting['run_id']));

  const [broken] = await letters('&error_code=invalid_json');
  expect(await post('/infrastructure/dlq/discard', { event_ids: [broken.event_id] })).toMatchObject({
    discarded_events: 1,
  });
  expect(await letters('&error_code=invalid_json')).toEqual([]);
  expect(await get('/infrastructure/dlq/stats')).toMatchObject({ failed_events: 1, retried_events: 1 });
});

test('requests that never became a run and dead letters go after their days, and nothing else', async () => {
  const { db } = stack;
  await db.query('DELETE FROM flow_dead_letter');
  const kept = flowRun();
  await publish(['{', '[', kept]);
  await completed(String(kept['run_id']));
  await consumed();
  await db.query(`UPDATE flow_run SET received_at = now() - interval '31 days'`);
  await db.query(`UPDATE flow_dead_letter SET failed_at = now() - interval '31 days' WHERE original = 'ew=='`);
  await db.query(
    `INSERT INTO flow_run (run_id, tenant_id, flow_id, digest, received_at) VALUES
       ('old', 'default', 'f', '', now() - interval '31 days'), ('new', 'default', 'f', '', now())`,
  );
  const before = (await db.query('SELECT FROM flow_run')).rowCount ?? 0;
  expect(await removeOldMessages(db, 30, 100)).toBe(2);
  const { rows } = await db.query(`SELECT run_id FROM flow_run WHERE run_id IN ('old', 'new')`);
  expect(rows).toEqual([{ run_id: 'new' }]);
  expect((await db.query('SELECT FROM flow_run')).rowCount).toBe(before - 1);
  expect((await db.query('SELECT original FROM flow_dead_letter')).rows).toEqual([{ original: 'Ww==' }]);
  await db.query(`DELETE FROM flow_run WHERE run_id = 'new'`);
});

function decoded(base64: string): unknown {
  return JSON.parse(Buffer.from(base64, 'base64').toString());
}
