import { Redis } from 'ioredis';
import { afterEach, expect, test } from 'vitest';
import { type FlowNode, GATE_QUEUE, gateJobId, taskJobId } from '../../src/domain/graph/compile.ts';
import { cleanGates } from '../../src/engine/recover/clean-gates.ts';
import { createClearEnded } from '../../src/engine/recover/clear-ended.ts';
import { createFlowQueue } from '../../src/queue/flow-queue.ts';
import { openDatabase } from '../../src/store/core/database.ts';
import { createRunStore } from '../../src/store/runs/run-store.ts';
import { openTestBackend } from '../support/queue-backend.ts';
import { createTestDatabase, testQueuePrefix, testRedisUrl } from '../support/servers.ts';

const undo: Array<() => Promise<unknown>> = [];
afterEach(async () => {
  for (const step of undo.splice(0).reverse()) await step();
});

test.each(['redis', 'postgres'])(
  'on %s a gate whose run is gone is found and removed, and what sleeps for it is made due',
  async (kind) => {
    const { url, drop } = await createTestDatabase();
    undo.push(drop);
    const database = openDatabase(url, { name: 'test', onError: () => undefined });
    undo.push(() => database.close());
    const backend = openTestBackend({ redisUrl: kind === 'redis' ? testRedisUrl() : undefined, databaseUrl: url });
    undo.push(() => backend.close());
    const queue = createFlowQueue({ backend });
    undo.push(() => queue.close());
    const [gates] = queue.queues([GATE_QUEUE]);
    const ids = ['a', 'b', 'c'].map((from) => gateJobId('run.1', 1, from, 'to'));
    for (const jobId of ids) await gates?.add('gate', {} as never, { jobId });
    expect(await queue.gatePage(0, 10)).toEqual(ids);

    expect(await cleanGates({ queue, runs: createRunStore(database.pool) }, 0)).toEqual({ next: 0, removed: 3 });
    expect(await queue.gatePage(0, 10)).toEqual([]);

    // The janitor of what else is left behind, on the same queues.
    const [waits] = queue.queues(['wait']);
    await waits?.add('wait', {} as never, { jobId: taskJobId('run.1', 1, 'pause'), delay: 3_600_000 });
    const clear = createClearEnded({ queue, runs: createRunStore(database.pool) }, ['wait', 'test_task']);
    expect(await clear()).toEqual({ delayed: 1, 'waiting-children': 0 });
    expect(await queue.state('wait', taskJobId('run.1', 1, 'pause'))).toBe('waiting');
  },
);

test('a job that is there and in no list is taken away, and those in a list stay', async () => {
  const prefix = testQueuePrefix();
  const backend = openTestBackend({ redisUrl: testRedisUrl(), prefix });
  undo.push(() => backend.close());
  const queue = createFlowQueue({ backend });
  undo.push(() => queue.close());
  const redis = new Redis(testRedisUrl());
  undo.push(async () => redis.disconnect());
  const [lane] = queue.queues(['lane']);
  for (const jobId of ['wreck', 'waits']) await lane?.add('one', {} as never, { jobId });
  expect(await redis.lrem(`${prefix}:lane:wait`, 0, 'wreck')).toBe(1);
  expect(await queue.state('lane', 'wreck')).toBe('missing');

  await queue.removeEnded(['wreck', 'waits', 'nobody'].map((jobId) => ({ queue: 'lane', jobId })));
  expect(await lane?.getJob('wreck')).toBeUndefined();
  expect(await queue.state('lane', 'waits')).toBe('waiting');
});

test('a parent that waits for a child that is lost is removed when its run has ended, with its other children', async () => {
  const { url, drop } = await createTestDatabase();
  undo.push(drop);
  const database = openDatabase(url, { name: 'test', onError: () => undefined });
  undo.push(() => database.close());
  const prefix = testQueuePrefix();
  const backend = openTestBackend({ redisUrl: testRedisUrl(), prefix });
  undo.push(() => backend.close());
  const queue = createFlowQueue({ backend });
  undo.push(() => queue.close());
  const redis = new Redis(testRedisUrl());
  undo.push(async () => redis.disconnect());
  const run = 'gone';
  const job = (queueName: string, action: string, children: FlowNode[] = []): FlowNode => ({
    ...{ name: action, queue: queueName, jobId: taskJobId(run, 1, action), data: undefined, children },
    ...{ attempts: 1, priority: 0, delayMs: 0 },
  });
  const [lost, other, below, top] = ['lost', 'other', 'below', 'top'].map((action) => taskJobId(run, 1, action));
  await queue.add([[job('runs', 'top', [job('lane', 'below', [job('lane', 'lost'), job('lane', 'other')])])]]);
  // As it is in a Redis whose newest writes are gone: what the parents wait for is not there.
  await redis.del(`${prefix}:lane:${lost}`);
  await redis.lrem(`${prefix}:lane:wait`, 0, lost ?? '');
  expect(await queue.state('runs', top ?? '')).toBe('waiting-children');

  const clear = createClearEnded({ queue, runs: createRunStore(database.pool) }, ['lane', 'runs']);
  expect((await clear())['waiting-children']).toBeGreaterThan(0);
  await clear();
  for (const [name, jobId] of [
    ['lane', other],
    ['lane', below],
    ['runs', top],
  ])
    expect([jobId, await queue.state(name ?? '', jobId ?? '')]).not.toEqual([jobId, 'waiting-children']);
  expect(await queue.state('lane', other ?? '')).toBe('missing');
});
