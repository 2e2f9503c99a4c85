/** The state of flow runs in Redis: what others read there, of which runs, and that a lost key comes back. */
import { randomBytes } from 'node:crypto';
import { describe, expect } from 'vitest';
import { accepted, field } from '../harness/client/client.ts';
import { until } from '../harness/until.ts';
import { complete, take } from '../support/external-worker.ts';
import { onBothBackends } from '../support/fixtures.ts';
import type { Stack } from '../support/stack.ts';
import { echo, workflow } from '../support/test-task.ts';

const [plain] = onBothBackends({ environment: { STATE_KEY_PREFIX: 'north:', ORCHESTRATOR_REDIS_KEY_TTL: '120' } });
const [sealed] = onBothBackends({
  environment: { SECRETS_KEY: randomBytes(32).toString('base64'), ENCRYPT_PAYLOADS: 'true' },
});
const some = (one: typeof plain) => [one].filter((it) => it !== undefined);
const ISO = expect.stringMatching(/^\d{4}-\d\d-\d\dT[\d:.]+Z$/);

/** Two tasks of others, one after the other. */
const FLOW = {
  name: 'order',
  actions: [
    { action_id: 'first', action_type: 'external', config: { topic: 'first' }, retry: { max_attempts: 3 } },
    { action_id: 'second', action_type: 'external', config: { topic: 'second' }, depends_on: ['first'] },
    echo('third', ['first'], { of: '{{params.sku}}' }, { when: 'false' }),
  ],
};

async function stateIn({ redis }: Stack, key: string): Promise<Record<string, unknown> | undefined> {
  const text = await redis?.get(key);
  return text === undefined || text === null ? undefined : JSON.parse(text);
}

describe.each(some(plain))('the state of flow runs on $backend', ({ test }) => {
  test('it follows the run, and a lost key comes back with the next change', async ({ api, stack }) => {
    const body = { flow_id: 'order', flow_definition: FLOW, input: { sku: 'A-1' }, execution_context: { shop: 'n' } };
    const id = field(accepted(await api.post('/v1/runs', body, { 'X-User-ID': 'eve' }), 202), 'run_id');
    const key = `north:run:${id}:state`;
    const first = await take(api, 'first');
    await until(async () => (await stateIn(stack, key)) !== undefined, { what: 'the state' });
    expect(await stateIn(stack, key)).toEqual({
      ...{ run_id: id, flow_id: 'order', tenant_id: 'default', user_id: 'eve', correlation_id: id, status: 'RUNNING' },
      tasks: { first: 'RUNNING', second: 'PENDING', third: 'PENDING' },
      ...{ completed_tasks: [], failed_tasks: [], ready_tasks: [] },
      ...{ input_data: { sku: 'A-1' }, output_data: null, execution_context: { shop: 'n' } },
      task_attempts: { first: expect.any(Number), second: 0, third: 0 },
      max_retries: { first: 2, second: expect.any(Number), third: expect.any(Number) },
      ...{ created_at: ISO, updated_at: ISO },
    });
    expect(await stack.redis?.ttl(key)).toBeGreaterThan(60);
    expect(await stack.redis?.ttl(key)).toBeLessThanOrEqual(120);

    await stack.redis?.del(key);
    accepted(await complete(api, first, { got: 1 }), 200);
    const second = await take(api, 'second');
    await until(async () => JSON.stringify((await stateIn(stack, key))?.['tasks']).includes('"second":"RUNNING"'), {
      what: 'the state of the second task',
    });
    accepted(await complete(api, second, { got: 2 }), 200);
    await api.finished(id);
    await until(async () => (await stateIn(stack, key))?.['status'] === 'COMPLETED', { what: 'the last state' });
    expect(await stateIn(stack, key)).toMatchObject({
      tasks: { first: 'COMPLETED', second: 'COMPLETED', third: 'COMPLETED' },
      ...{ completed_tasks: ['first', 'second', 'third'], failed_tasks: [], ready_tasks: [] },
      output_data: { second: { got: 2 }, third: null },
    });
  });

  test('other runs have none, and payloads over 64 KiB are left out', async ({ api, stack }) => {
    const id = await api.createWorkflow(workflow([echo('one', [], { got: '{{params.text}}' })]));
    const other = await api.execute(id);
    await api.finished(other);
    const large = { text: 'x'.repeat(65_536) };
    const run = field(accepted(await api.post('/v1/runs', { flow_id: id, input: large }), 202), 'run_id');
    await api.finished(run);
    const key = `north:run:${run}:state`;
    await until(async () => (await stateIn(stack, key))?.['status'] === 'COMPLETED', { what: 'the state' });
    const state = await stateIn(stack, key);
    expect(Object.keys(state ?? {})).not.toEqual(expect.arrayContaining(['input_data']));
    expect(Object.keys(state ?? {})).not.toEqual(expect.arrayContaining(['output_data']));
    expect(state).toMatchObject({ flow_id: id, execution_context: {} });
    expect(await stack.redis?.keys(`*${other}:state`)).toEqual([]);
  });

  test('many runs at a time all end with their last state', async ({ api, stack }) => {
    await stack.add('worker');
    const parallel = {
      id: 'wide',
      tasks: Array.from({ length: 8 }, (_, n) => ({ id: `t${n}`, handler: 'test_task' })),
    };
    const answers = await Promise.all(
      Array.from({ length: 30 }, () => api.post('/v1/runs', { flow_id: 'wide', flow_definition: parallel })),
    );
    for (const answer of answers) {
      const id = field(accepted(answer, 202), 'run_id');
      await api.ended(id);
      await until(async () => (await stateIn(stack, `north:run:${id}:state`))?.['status'] === 'COMPLETED', {
        what: 'the last state',
      });
      expect((await stateIn(stack, `north:run:${id}:state`))?.['completed_tasks']).toHaveLength(8);
    }
  });
});

describe.each(some(sealed))('the state of encrypted flow runs on $backend', ({ test }) => {
  test('it has no payloads, and without a prefix the key is the older one', async ({ api, stack }) => {
    const body = { flow_id: 'order', flow_definition: workflow([echo('one')]), execution_context: { shop: 'north' } };
    const id = field(accepted(await api.post('/v1/runs', { ...body, input: { sku: 'A' } }), 202), 'run_id');
    await api.finished(id);
    await until(async () => (await stateIn(stack, `run:${id}:state`))?.['status'] === 'COMPLETED', {
      what: 'the state',
    });
    const text = JSON.stringify(await stateIn(stack, `run:${id}:state`));
    expect(text).not.toMatch(/input_data|output_data|execution_context|north/);
  });
});
