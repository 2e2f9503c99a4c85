/** `testWorkflow` by itself; test/integration/sdk-testing.test.ts holds it against the engine. */
import { expect, test } from 'vitest';
import { defineWorkflow } from '../../../sdk/src/index.ts';
import { testWorkflow } from '../../../sdk/src/testing/index.ts';
import { exampleApproval, exampleSaga } from '../../support/sdk-definitions.ts';

const external = (id: string, more: object = {}) => ({
  action_id: id,
  action_type: 'external',
  config: { topic: id },
  ...more,
});

test('days pass at once, and each task has the time that it would have', async () => {
  const definition = defineWorkflow({ name: 'slow' }, ({ action }) => {
    const rest = action('rest', 'wait', { config: { seconds: 86_400 } });
    action('after', 'transform', { delay_seconds: 60, config: { outputs: { n: '1' } }, depends_on: [rest] });
  });
  const { endedAt, tasks } = await testWorkflow(definition, { now: '2031-05-01T00:00:00Z' });
  expect(tasks['rest']).toMatchObject({ output: { waited_until: '2031-05-02T00:00:00.000Z' } });
  expect(tasks['after']?.startedAt).toEqual(new Date('2031-05-02T00:01:00Z'));
  expect(endedAt).toEqual(new Date('2031-05-02T00:01:00Z'));
});

test('mocks say what approvals are, and conditions follow', async () => {
  const mocks = { ask: { approved: false, by: null, comment: 'too dear', at: 'now' }, notification: { sent: true } };
  const { status, output, tasks } = await testWorkflow(exampleApproval, { parameters: { subject: 'a car' }, mocks });
  expect(status).toBe('completed');
  expect(output).toEqual({ approved: false, by: null, comment: 'too dear' });
  expect(tasks['tell_approved']).toMatchObject({ status: 'skipped', attempts: 0 });
  expect(tasks['tell_rejected']).toMatchObject({ status: 'completed' });
});

test('what was done is compensated, last first, with what it gave', async () => {
  const undone: unknown[] = [];
  const { status, tasks } = await testWorkflow(exampleSaga, {
    parameters: { order_id: '7', customer_id: 'ada', amount: 3, items: ['a'] },
    mocks: {
      reserve_stock: { response: 'r1' },
      charge_payment: { response: 'c1' },
      ship_order() {
        throw Object.assign(new Error('no ship'), { code: 'no_ship', retryable: false });
      },
      'reserve_stock~undo': ({ parameters }) => undone.push(parameters),
      'charge_payment~undo': ({ parameters }) => undone.push(parameters),
    },
  });
  expect(status).toBe('compensated');
  expect(tasks['ship_order']).toMatchObject({ status: 'failed', attempts: 1, error: { code: 'no_ship' } });
  expect(undone).toEqual([
    { order_id: '7', charge: 'c1' },
    { order_id: '7', reservation: 'r1' },
  ]);
});

test('an attempt that takes longer than it may fails with timeout and is tried again', async () => {
  const retry = { max_attempts: 2, backoff: 'fixed', initial_delay_seconds: 5 };
  const actions = [external('a', { timeout_seconds: 10, retry })];
  const { tasks, endedAt } = await testWorkflow(
    { name: 'late', actions },
    { mocks: { a: (_, { sleep }) => sleep(60_000) }, now: 0 as never },
  );
  expect(tasks['a']).toMatchObject({ status: 'failed', attempts: 2, error: { code: 'timeout' } });
  expect(endedAt).toEqual(new Date(25_000));
});

test('items start as others end, and none when one has failed', async () => {
  const seen: unknown[] = [];
  const actions = [
    external('a', {
      for_each: { items: [1, 2, 3, 4, 5], max_parallel: 2 },
      retry: { max_attempts: 1 },
      config: { topic: 'a', input: '{{item}}' },
    }),
  ];
  const a = ({ input }: { input: number }, { now, sleep }: { now(): Date; sleep(ms: number): void }) => {
    seen.push([input, now().getTime()]);
    sleep(1_000);
    if (input === 3) throw new Error('three');
    return input;
  };
  const { status, tasks } = await testWorkflow({ name: 'items', actions }, { mocks: { a }, now: new Date(0) });
  expect(seen).toEqual([
    [1, 0],
    [2, 0],
    [3, 1_000],
    [4, 1_000],
  ]);
  expect(status).toBe('failed');
  expect(tasks['a']).toMatchObject({ error: { code: 'item_failed' }, parts: [{}, {}, { status: 'failed' }, {}] });
});

test('a definition that cannot work, parameters that do not fit and a missing mock reject', async () => {
  await expect(testWorkflow({ name: 'none', actions: [external('a', { depends_on: ['b'] })] })).rejects.toMatchObject({
    code: 'definition_invalid',
  });
  await expect(testWorkflow(exampleSaga)).rejects.toMatchObject({ code: 'parameter_validation_failed' });
  await expect(testWorkflow({ name: 'one', actions: [external('a')] })).rejects.toThrow("no mock for the action 'a'");
});
