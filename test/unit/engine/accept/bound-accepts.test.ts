import { expect, test } from 'vitest';
import type { QueueUse } from '../../../../src/domain/fairness/queue-room.ts';
import { createAcceptRuns } from '../../../../src/engine/accept/accept-run.ts';
import { type CapacityLimits, createAcceptCapacity, sampled } from '../../../../src/engine/accept/limit-accepts.ts';
import type { Caller, TaskRequest } from '../../../../src/engine/ports/use-cases.ts';
import { until } from '../../../harness/until.ts';
import { acceptDeps, storedOf } from '../../../support/accept-deps.ts';

const CALLER: Caller = { tenantId: 't', userId: 'u', correlationId: undefined, traceId: '0' };
const TASK: TaskRequest = { task_type: 'test_task', params: {} };
const EXECUTION = { parameters: {}, strict: false };

/** Stores nothing until it is released; what needs a workflow fails, because the database is away. */
function slow(limits: Partial<CapacityLimits>) {
  const waiting: Array<() => void> = [];
  let stored = 0;
  const capacity = createAcceptCapacity({ maxRuns: 10, queueUse: () => undefined, ...limits });
  const accept = createAcceptRuns(
    acceptDeps({
      capacity,
      runs: {
        async accept(run) {
          await new Promise<void>((resolve) => waiting.push(resolve));
          stored += 1;
          return storedOf(run);
        },
      },
      workflowHead: () => Promise.reject(new Error('the database is away')),
    }),
  );
  return {
    ...{ accept, inHand: capacity.inHand, stored: () => stored },
    async go(runs: number) {
      await until(() => waiting.length === runs);
      for (const resolve of waiting.splice(0)) resolve();
    },
  };
}

const tasks = (count: number) => Array.from({ length: count }, () => TASK);

test('no more runs than allowed wait to be stored, and when they are stored others may come', async () => {
  const { accept, inHand, stored, go } = slow({});
  const first = accept.acceptTasks(CALLER, tasks(6));
  const second = accept.acceptTask(CALLER, TASK, undefined);
  expect(inHand()).toBe(7);
  await expect(accept.acceptTasks(CALLER, tasks(4))).rejects.toMatchObject({
    ...{ code: 'overloaded', retryAfterSeconds: 1 },
  });
  expect(inHand()).toBe(7);
  const third = accept.acceptTasks(CALLER, tasks(3));
  await go(10);
  await Promise.all([first, second, third]);
  expect(inHand()).toBe(0);
  expect(stored()).toBe(10);
});

test('what fails is in hand no longer', async () => {
  const { accept, inHand } = slow({ maxRuns: 2 });
  for (let tries = 0; tries < 3; tries += 1) {
    const one = accept.executeWorkflow(CALLER, 'w', EXECUTION);
    expect(inHand()).toBe(1);
    await expect(one).rejects.toThrow('away');
    const two = accept.executeWorkflowMany(CALLER, 'w', [EXECUTION, EXECUTION]);
    expect(inHand()).toBe(2);
    await expect(two).rejects.toThrow('away');
  }
  expect(inHand()).toBe(0);
});

test('nothing is started while the queue is nearly full; a plan is still made', async () => {
  let use: QueueUse | undefined = { usedBytes: 95, maxBytes: 100 };
  const { accept, stored, go } = slow({ queueUse: () => use });
  const full = { code: 'queue_full', retryAfterSeconds: 5 };
  await expect(accept.acceptTask(CALLER, TASK, undefined)).rejects.toMatchObject(full);
  await expect(accept.acceptTasks(CALLER, tasks(1))).rejects.toMatchObject(full);
  await expect(accept.executeWorkflow(CALLER, 'w', EXECUTION)).rejects.toMatchObject(full);
  await expect(accept.executeWorkflowMany(CALLER, 'w', [EXECUTION])).rejects.toMatchObject(full);
  await expect(accept.dryRun(CALLER, 'w', EXECUTION)).rejects.toThrow('the database is away');
  expect(stored()).toBe(0);
  use = { usedBytes: 50, maxBytes: 100 };
  const taken = accept.acceptTasks(CALLER, tasks(1));
  await go(1);
  expect(await taken).toMatchObject([{ id: 'run-0' }]);
});

test('a sample is taken once a second at most, and one that cannot be had rejects nobody', async () => {
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
