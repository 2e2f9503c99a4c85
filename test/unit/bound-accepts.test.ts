import { expect, test } from 'vitest';
import type { QueueUse } from '../../src/domain/queue-room.ts';
import { boundAccepts, sampled } from '../../src/engine/bound-accepts.ts';
import type { AcceptRuns, Caller, TaskRequest } from '../../src/engine/use-cases.ts';
import { until } from '../support/until.ts';

const CALLER: Caller = { tenantId: 't', userId: 'u', correlationId: undefined, traceId: '0' };
const TASK: TaskRequest = { task_type: 'test_task', params: {} };

/** Accepts nothing until it is told to. */
function slow() {
  const waiting: Array<() => void> = [];
  const wait = () => new Promise<never[]>((resolve) => waiting.push(() => resolve([])));
  const accept: AcceptRuns = {
    acceptTask: () => Promise.reject(new Error('the database is away')),
    acceptTasks: wait,
    executeWorkflow: () => Promise.reject(new Error('not asked for')),
    executeWorkflowMany: wait,
    dryRun: () => Promise.resolve({}),
  };
  return { accept, go: () => waiting.splice(0).forEach((resolve) => void resolve()) };
}

const tasks = (count: number) => Array.from({ length: count }, () => TASK);

test('no more runs than allowed wait to be stored, and when they are stored others may come', async () => {
  const { accept, go } = slow();
  const bound = boundAccepts(accept, { maxRuns: 10, queueUse: () => undefined });
  const first = bound.acceptTasks(CALLER, tasks(6));
  const second = bound.executeWorkflowMany(CALLER, 'w', [{ parameters: {}, strict: false }]);
  expect(bound.inHand()).toBe(7);
  await expect(bound.acceptTasks(CALLER, tasks(4))).rejects.toMatchObject({ code: 'overloaded', retryAfterSeconds: 1 });
  expect(bound.inHand()).toBe(7);
  const third = bound.acceptTasks(CALLER, tasks(3));
  go();
  await Promise.all([first, second, third]);
  expect(bound.inHand()).toBe(0);
});

test('what fails is in hand no longer', async () => {
  const bound = boundAccepts(slow().accept, { maxRuns: 1, queueUse: () => undefined });
  for (let tries = 0; tries < 3; tries += 1)
    await expect(bound.acceptTask(CALLER, TASK, undefined)).rejects.toThrow('away');
  expect(bound.inHand()).toBe(0);
});

test('nothing is begun while the queue is nearly full; a plan is still given', async () => {
  let use: QueueUse | undefined = { usedBytes: 95, maxBytes: 100 };
  const { accept, go } = slow();
  const bound = boundAccepts(accept, { maxRuns: 10, queueUse: () => use });
  await expect(bound.acceptTasks(CALLER, tasks(1))).rejects.toMatchObject({ code: 'queue_full', retryAfterSeconds: 5 });
  expect(await bound.dryRun(CALLER, 'w', { parameters: {}, strict: false })).toEqual({});
  use = { usedBytes: 50, maxBytes: 100 };
  const taken = bound.acceptTasks(CALLER, tasks(1));
  go();
  expect(await taken).toEqual([]);
});

test('a sample is taken once a second at most, and one that cannot be had refuses nobody', async () => {
  let now = 0;
  let reads = 0;
  let answer: () => Promise<number | undefined> = () => Promise.resolve(0.95);
  const use = sampled(
    () => {
      reads += 1;
      return answer();
    },
    () => now,
  );
  expect(use()).toBeUndefined();
  await until(() => use() === 0.95);
  expect(reads).toBe(1);
  answer = () => Promise.reject(new Error('away'));
  now = 1_500;
  use();
  await until(() => use() === undefined);
  expect(reads).toBe(2);
});
