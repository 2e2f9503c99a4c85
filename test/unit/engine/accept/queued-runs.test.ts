import { expect, test, vi } from 'vitest';
import { createAcceptRuns } from '../../../../src/engine/accept/accept-run.ts';
import { createLiveRunQuota, createQueuedRunQuota } from '../../../../src/engine/accept/tenant-quota.ts';
import type { Caller } from '../../../../src/engine/ports/use-cases.ts';
import { acceptDeps, storedOf } from '../../../support/accept-deps.ts';

const caller = (tenantId: string): Caller => ({
  ...{ tenantId, userId: 'u', correlationId: undefined, traceId: 't', parentSpanId: undefined },
});
const TASK = { task_type: 'test_task', params: {} };

function setUp(limit: number, waiting: Record<string, number>, createQuota = createQueuedRunQuota) {
  let time = 0;
  const accepted: string[] = [];
  const count = vi.fn((tenantId: string, most: number) => Promise.resolve(Math.min(waiting[tenantId] ?? 0, most)));
  const accept = createAcceptRuns(
    acceptDeps({
      tenantQuotas: [createQuota({ limit, count, now: () => time })],
      runs: {
        async accept(run) {
          accepted.push(run.tenantId);
          return storedOf(run);
        },
      },
    }),
  );
  const take = (tenantId: string) => accept.acceptTask(caller(tenantId), TASK, undefined);
  const takeMany = (tenantId: string, n: number) =>
    accept.acceptTasks(
      caller(tenantId),
      Array.from({ length: n }, () => TASK),
    );
  return {
    accept,
    accepted,
    count,
    take,
    takeMany,
    pass: (ms: number) => {
      time += ms;
    },
  };
}

test('what a tenant sends beyond its number is refused, and others go on', async () => {
  const { accepted, take } = setUp(3, { many: 2, few: 0 });
  await take('many');
  await expect(take('many')).rejects.toMatchObject({ code: 'too_many_queued', status: 429, retryAfterSeconds: 5 });
  await take('few');
  expect(accepted).toEqual(['many', 'few']);
});

test('many at once are accepted together or not at all', async () => {
  const { accepted, takeMany } = setUp(3, {});
  await expect(takeMany('a', 4)).rejects.toMatchObject({ code: 'too_many_queued' });
  await takeMany('a', 3);
  expect(accepted).toEqual(['a', 'a', 'a']);
});

test('it is counted once in a while, and again when runs have started', async () => {
  const waiting = { a: 3 };
  const { count, take, pass } = setUp(3, waiting);
  await expect(take('a')).rejects.toMatchObject({ code: 'too_many_queued' });
  waiting.a = 0;
  await expect(take('a')).rejects.toMatchObject({ code: 'too_many_queued' });
  pass(1_000);
  for (let n = 0; n < 3; n += 1) await take('a');
  expect(count).toHaveBeenCalledTimes(2);
});

test('without a limit nothing is counted', async () => {
  const { count, take } = setUp(0, { a: 1_000_000 });
  await take('a');
  expect(count).not.toHaveBeenCalled();
});

test('nobody is rejected because it cannot be counted', async () => {
  const { accepted, count, take } = setUp(1, {});
  count.mockRejectedValueOnce(new Error('away'));
  await take('a');
  expect(accepted).toEqual(['a']);
});

test('those that live are bounded by themselves', async () => {
  const { accepted, take } = setUp(2, { many: 1 }, createLiveRunQuota);
  await take('many');
  await expect(take('many')).rejects.toMatchObject({ code: 'too_many_live', status: 429, retryAfterSeconds: 60 });
  expect(accepted).toEqual(['many']);
});

test('the more there are, the longer it is until they are counted again', async () => {
  const { count, take, pass } = setUp(1_000_000, { many: 500_000 }, createLiveRunQuota);
  await take('many');
  pass(5_999);
  await take('many');
  expect(count).toHaveBeenCalledTimes(1);
  pass(1);
  await take('many');
  expect(count).toHaveBeenCalledTimes(2);
});

test('executions count as tasks do, one by one and many at once, before their workflow is read', async () => {
  const { accept } = setUp(1, { many: 1 });
  const execution = { parameters: {}, strict: false };
  const rejected = { code: 'too_many_queued' };
  await expect(accept.executeWorkflow(caller('many'), 'w', execution)).rejects.toMatchObject(rejected);
  await expect(accept.executeWorkflowMany(caller('few'), 'w', [execution, execution])).rejects.toMatchObject(rejected);
  await expect(accept.executeWorkflow(caller('few'), 'w', execution)).rejects.toThrow('not used here');
});

test('the capacity is checked first, then each quota in turn, and nothing is stored of what one rejects', async () => {
  const steps: string[] = [];
  const rejecting = { at: '' };
  const step = (name: string) => {
    steps.push(name);
    if (rejecting.at === name) throw new Error(name);
  };
  const accept = createAcceptRuns(
    acceptDeps({
      capacity: {
        inHand: () => 0,
        take: () => {
          step('capacity');
          return () => steps.push('released');
        },
      },
      tenantQuotas: [async () => step('live'), async () => step('queued')],
      runs: {
        async accept(run) {
          step('store');
          return storedOf(run);
        },
      },
      admission: { admit: async () => step('admit') },
    }),
  );
  const run = async (at: string) => {
    rejecting.at = at;
    steps.length = 0;
    await accept.acceptTask(caller('t'), TASK, undefined).catch(() => undefined);
    return steps.join(' ');
  };
  expect(await run('')).toBe('capacity live queued store admit released');
  expect(await run('capacity')).toBe('capacity');
  expect(await run('live')).toBe('capacity live released');
  expect(await run('queued')).toBe('capacity live queued released');
});
