import { expect, test, vi } from 'vitest';
import { boundLiveRuns, boundQueuedRuns } from '../../src/engine/queued-runs.ts';
import type { AcceptRuns, Caller } from '../../src/engine/use-cases.ts';

const caller = (tenantId: string): Caller => ({
  ...{ tenantId, userId: 'u', correlationId: undefined, traceId: 't', parentSpanId: undefined },
});
const TASK = { task_type: 'test_task', params: {} };

function setUp(limit: number, waiting: Record<string, number>, bound = boundQueuedRuns) {
  let time = 0;
  const accepted: string[] = [];
  const inner = {
    acceptTask: ({ tenantId }: Caller) => Promise.resolve(void accepted.push(tenantId)),
    acceptTasks: ({ tenantId }: Caller, requests: unknown[]) =>
      Promise.resolve(requests.map(() => accepted.push(tenantId))),
  } as unknown as AcceptRuns; // What the others do is not asked.
  const count = vi.fn((tenantId: string, most: number) => Promise.resolve(Math.min(waiting[tenantId] ?? 0, most)));
  const accept = bound(inner, { limit, count, now: () => time });
  const take = (tenantId: string) => accept.acceptTask(caller(tenantId), TASK as never, undefined);
  const takeMany = (tenantId: string, n: number) =>
    accept.acceptTasks(caller(tenantId), Array.from({ length: n }, () => TASK) as never);
  return {
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

test('many at once are taken as a whole or not at all', async () => {
  const { accepted, takeMany } = setUp(3, {});
  await expect(takeMany('a', 4)).rejects.toMatchObject({ code: 'too_many_queued' });
  await takeMany('a', 3);
  expect(accepted).toEqual(['a', 'a', 'a']);
});

test('it is counted once in a while, and again when runs have begun', async () => {
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

test('nobody is refused because it cannot be counted', async () => {
  const { accepted, count, take } = setUp(1, {});
  count.mockRejectedValueOnce(new Error('away'));
  await take('a');
  expect(accepted).toEqual(['a']);
});

test('those that live are bounded by themselves', async () => {
  const { accepted, take } = setUp(2, { many: 1 }, boundLiveRuns);
  await take('many');
  await expect(take('many')).rejects.toMatchObject({ code: 'too_many_live', status: 429, retryAfterSeconds: 60 });
  expect(accepted).toEqual(['many']);
});

test('the more there are, the longer it is until they are counted again', async () => {
  const { count, take, pass } = setUp(1_000_000, { many: 500_000 }, boundLiveRuns);
  await take('many');
  pass(5_999);
  await take('many');
  expect(count).toHaveBeenCalledTimes(1);
  pass(1);
  await take('many');
  expect(count).toHaveBeenCalledTimes(2);
});
