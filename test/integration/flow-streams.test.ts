/** Flow runs over Redis Streams, as a client of any language uses them: XADD, XREAD and JSON. */
import { randomUUID } from 'node:crypto';
import type { Redis } from 'ioredis';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { until } from '../harness/until.ts';
import { openStack, type Stack } from '../support/stack.ts';

const ISO = expect.stringMatching(/^\d{4}-\d\d-\d\dT[\d:.]+Z$/);
/** The database of the Redis may have had streams of others. */
const unique = randomUUID().slice(0, 8);
const topic = (name: string) => `${name}_${unique}`;

let stack: Stack;
let redis: Redis;

beforeAll(async () => {
  stack = await openStack('redis', {
    environment: {
      ...{ FLOW_TRANSPORT: 'redis-streams', KAFKA_AUTO_OFFSET_RESET: 'earliest' },
      ...{ FLOW_RUNS_TOPIC: topic('flow_runs'), TASK_QUEUE_TOPIC: topic('task_queue') },
      ...{ TASK_DONE_TOPIC: topic('task_done'), TASK_FAILED_TOPIC: topic('task_failed') },
      ...{ DEAD_LETTER_QUEUE_TOPIC: topic('dead_letter_queue'), AUDIT_TOPIC: topic('agent.audit') },
    },
  });
  if (stack.redis === undefined) throw new Error('there is no Redis');
  redis = stack.redis;
});

afterAll(() => stack.stop());

interface Entry {
  id: string;
  fields: Map<string, string>;
  body: Record<string, unknown>;
}

async function entries(name: string, runId: string, count: number): Promise<Entry[]> {
  return until(
    async () => {
      const all = (await redis.xrange(topic(name), '-', '+')).map(([id, flat]): Entry => {
        const fields = new Map(flat.flatMap((key, at) => (at % 2 === 0 ? [[key, flat[at + 1] ?? ''] as const] : [])));
        return { id, fields, body: JSON.parse(fields.get('value') ?? '{}') };
      });
      const own = all.filter(({ body }) => body['run_id'] === runId);
      return own.length >= count && own;
    },
    { what: `${count} entries of ${name}` },
  );
}

const add = (name: string, body: object) => redis.xadd(topic(name), '*', 'value', JSON.stringify(body));

test('a run requested by XADD is published as tasks, and goes on with their answers', async () => {
  const run_id = randomUUID();
  const flow_definition = {
    name: 'order',
    parameters: [{ name: 'sku', type: 'string' }],
    actions: [
      { action_id: 'pick', action_type: 'external', config: { topic: 'picker', input: { sku: '{{sku}}' } } },
      { action_id: 'pack', action_type: 'external', config: { topic: 'packer', input: { from: '{{pick.shelf}}' } } },
    ],
  };
  await add('flow_runs', {
    ...{ event_type: 'flow_run_requested', run_id, correlation_id: 'c-1', flow_id: 'order' },
    ...{ tenant_id: 'default', user_id: 'eve', input: { sku: 'A-1' }, flow_definition, execution_context: {} },
  });
  const [pick] = await entries('task_queue', run_id, 1);
  expect(pick?.body).toEqual({
    ...{ run_id, task_id: 'pick', handler: 'picker', inputs: { sku: 'A-1' }, attempt: 0, max_retries: 3, timeout: 300 },
    ...{ correlation_id: 'c-1', tenant_id: 'default', user_id: 'eve', execution_context: {}, created_at: ISO },
  });
  expect(pick?.fields.get('key')).toBe('pick');
  expect(pick?.fields.get('header:run_id')).toBe(run_id);
  expect(pick?.fields.get('header:attempt')).toBe('0');
  await add('task_done', { run_id, task_id: 'pick', output: { shelf: 7 }, execution_time_ms: 5 });
  const [, pack] = await entries('task_queue', run_id, 2);
  expect(pack?.body).toMatchObject({ task_id: 'pack', inputs: { from: 7 } });
  await add('task_done', { run_id, task_id: 'pack', output: { box: 1 }, execution_time_ms: 5 });
  expect(await stack.api.finished(run_id)).toMatchObject({ status: 'completed', user_id: 'eve' });
});

test('an entry that cannot be taken is a dead letter, and the stream goes on', async () => {
  await redis.xadd(topic('flow_runs'), '*', 'value', '{ no JSON');
  await redis.xadd(topic('flow_runs'), '*', 'other', 'no value');
  const letters = await until(
    async () => {
      const all = await redis.xrange(topic('dead_letter_queue'), '-', '+');
      return all.length >= 2 && all.map(([, fields]) => JSON.parse(fields[fields.indexOf('value') + 1] ?? ''));
    },
    { what: 'both dead letters' },
  );
  expect(letters.at(-2)).toMatchObject({
    ...{ code: 'invalid_json', topic: topic('flow_runs'), partition: 0, offset: expect.stringMatching(/^\d+-\d+$/) },
    original_base64: Buffer.from('{ no JSON').toString('base64'),
  });
  await until(
    async () => {
      const groups = (await redis.xinfo('GROUPS', topic('flow_runs'))) as unknown[][];
      return groups.every((group) => group[group.indexOf('pending') + 1] === 0);
    },
    { what: 'nothing is open' },
  );
});

test('the health of the system names the streams beside the queue', async () => {
  const { body } = await stack.api.get('/health/system');
  expect(body).toMatchObject({ services: { 'redis-streams': { kind: 'broker', status: 'healthy' } } });
});
