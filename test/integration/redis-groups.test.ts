/** Redis behind Sentinels and as a Cluster: all that the service does with it, by BullMQ and beside BullMQ. */
import { afterEach, describe, expect, test } from 'vitest';
import { examine } from '../../src/compose/doctor.ts';
import { loadConfig } from '../../src/config/config.ts';
import { createFlowQueue } from '../../src/queue/flow-queue.ts';
import { openBackend } from '../../src/queue/open-backend.ts';
import { expectRest, keysOf } from '../harness/checker/at-rest.ts';
import { createClosing } from '../harness/closing.ts';
import { type RedisGroup, startCluster, startSentinelPair } from '../harness/servers/redis-group.ts';
import { createTestLog } from '../harness/test-log.ts';
import { until } from '../harness/until.ts';
import { testQueuePrefix } from '../support/servers.ts';
import { openStack } from '../support/stack.ts';
import { echo, workflow } from '../support/test-task.ts';

const LANE = 'lane';
let closing = createClosing();
afterEach(async () => {
  await closing.close();
  closing = createClosing();
});

async function groupOf(start: () => Promise<RedisGroup>): Promise<RedisGroup> {
  const group = await start();
  closing.push(() => group.close());
  return group;
}

/** The queue alone, as a worker or an API has it. */
function queueOn(group: RedisGroup, offlineCommands: 'wait' | 'fail' = 'wait') {
  const prefix = testQueuePrefix();
  const { redis } = loadConfig({ ...group.environment, QUEUE_PREFIX: prefix }, { cwd: '/nowhere' });
  const log = createTestLog();
  const backend = openBackend({ redis, databaseUrl: 'postgres://unused', prefix, offlineCommands, name: 'test', log });
  closing.push(() => backend.close());
  const queue = createFlowQueue({ backend, timeoutMs: 5_000 });
  closing.push(() => queue.close());
  return { backend, queue, prefix };
}

test('a Cluster whose slots are not all served takes no writes, says so, and takes them again by itself', async () => {
  const group = await groupOf(startCluster);
  const { backend, prefix } = queueOn(group, 'fail');
  await until(() => backend.ping(), { what: 'it is connected' });
  const primary = await group.primaryOf(prefix);
  const said = await group.ask(primary, (server) => server.info('replication'));
  const bringBack = [await group.kill(Number(/^slave0:.*port=(\d+)/m.exec(said)?.[1])), await group.kill(primary)];
  await until(async () => (await backend.rejectsWrites()) === 'CLUSTERDOWN', { what: 'it says that it is down' });
  for (const start of bringBack) await start();
  await until(async () => (await backend.ping()) && (await backend.rejectsWrites()) === undefined, {
    what: 'it takes writes again',
  });
});

describe.each([
  ['behind Sentinels', startSentinelPair, ['redis_replicas']],
  ['in a Cluster', startCluster, ['redis_replicas', 'redis_cluster']],
] as const)('%s', (_, start, findings) => {
  test('flows, delays, pauses, the board, the stream of events, the counts of requests and the doctor work', async () => {
    const group = await groupOf(start);
    const environment = { EVENTS_STREAM: 'all-events', RATE_LIMIT_PER_MINUTE: '500' };
    const stack = await openStack('redis', { redisGroup: group, environment });
    closing.push(() => stack.stop());
    const { api, queuePrefix: prefix } = stack;
    const wait = { action_id: 'wait', action_type: 'wait', config: { seconds: 1 }, depends_on: ['a'] };
    const actions = [echo('a'), echo('b', ['a']), echo('c', ['a']), wait, echo('d', ['b', 'c', 'wait'])];
    expect(await api.run(workflow(actions))).toMatchObject({ status: 'completed', progress: { completed: 5 } });

    const keys = await keysOf(group.client, prefix);
    expect(keys).toContain(`${prefix}:test_task:meta`);
    expect(keys.filter((key) => key.startsWith(`${prefix}:limit:requests`))).not.toEqual([]);
    await until(async () => (await group.client.xlen('all-events')) > actions.length, { what: 'events are streamed' });
    const board = await api.get('/admin/queues/api/queues');
    expect(board.status).toBe(200);
    expect((board.body as { queues: object[] }).queues.length).toBeGreaterThan(0);

    const config = loadConfig(stack.environment, { cwd: stack.folder });
    const found = await examine({ config, databaseUrl: stack.databaseUrl, repair: false, days: 7, confirmMs: 50 });
    const redis = found.filter(({ check }) => check.startsWith('redis'));
    expect(redis.map(({ check }) => check)).toEqual(expect.arrayContaining(['redis', 'redis_writes', ...findings]));
    expect(redis.filter(({ status }) => status !== 'ok')).toEqual([]);
    await expectRest({ ...stack, redis: group.client });

    const stranger = loadConfig({ ...stack.environment, REDIS_PASSWORD: 'another' }, { cwd: stack.folder });
    const away = await examine({ config: stranger, databaseUrl: stack.databaseUrl, repair: false, days: 7 });
    expect(away.find(({ check }) => check === 'redis')).toMatchObject({
      status: 'problem',
      message: expect.stringMatching(/WRONGPASS/),
      whatToDo: expect.stringMatching(/REDIS_(SENTINELS|CLUSTER)/),
    });
  });

  test('the state of the server that has the queue is read, and not that of any other', async () => {
    const group = await groupOf(start);
    const { backend, queue, prefix } = queueOn(group);
    await until(() => backend.ping(), { what: 'it is connected' });
    expect(await queue.wasWiped()).toBe(true);
    await queue.markSeen();
    expect(await queue.wasWiped()).toBe(false);
    expect(await backend.rejectsWrites()).toBeUndefined();
    expect(await backend.memoryUse()).toBeUndefined();
    const primary = await group.primaryOf(prefix);
    await group.ask(primary, (server) => server.config('SET', 'maxmemory', '100mb'));
    expect(await backend.memoryUse()).toMatchObject({ maxBytes: 104_857_600 });
    expect(await backend.warnings()).toEqual([]);

    const [lane] = queue.queues([LANE]);
    for (const jobId of ['one', 'two']) await lane?.add('job', {} as never, { jobId });
    expect(await backend.probeWaiting([LANE], 5_000)).toEqual(new Map([[LANE, 2]]));
    await group.client.set(`${prefix}:${LANE}:one:lock`, 'token', 'PX', 60_000);
    expect(await backend.lockLeftMs(LANE, 'one')).toBeGreaterThan(0);
    await backend.forgetScripts();
    await until(() => queue.removeJobs([{ queue: LANE, jobId: 'two' }]), { what: 'a job is removed' });
  });

  test('another server that takes over is noticed, and what it may have lost is looked for', async () => {
    const group = await groupOf(start);
    const { backend, queue, prefix } = queueOn(group);
    await until(() => backend.ping(), { what: 'it is connected' });
    await queue.wasWiped();
    await queue.markSeen();
    let noticed = 0;
    backend.onOtherServer(() => {
      noticed += 1;
    });
    await group.kill(await group.primaryOf(prefix));
    await until(() => noticed > 0, { what: 'the other server is noticed' });
    expect(noticed).toBe(1);
    expect(await queue.wasWiped()).toBe(true);
    const [lane] = queue.queues([LANE]);
    await lane?.add('job', {} as never, { jobId: 'after' });
    expect(await queue.state(LANE, 'after')).toBe('waiting');
  });

  test('a server that hangs and has lost its place is left, although its connections stay open', async () => {
    const group = await groupOf(start);
    const { backend, queue, prefix } = queueOn(group);
    await until(() => backend.ping(), { what: 'it is connected' });
    const primary = await group.primaryOf(prefix);
    group.signal(primary, 'SIGSTOP');
    await until(async () => (await group.primaryOf(prefix)) !== primary, { what: 'another server has the queue' });
    await until(() => queue.ping(), { what: 'the other one answers' });
    const [lane] = queue.queues([LANE]);
    await lane?.add('job', {} as never, { jobId: 'after' });
    expect(await queue.state(LANE, 'after')).toBe('waiting');
  });

  test('while no server has the queue an API is answered soon, and a process can end', async () => {
    const group = await groupOf(start);
    const { backend, queue } = queueOn(group, 'fail');
    await until(() => backend.ping(), { what: 'it is connected' });
    const [lane] = queue.queues([LANE]);
    await lane?.add('job', {} as never, { jobId: 'before' });
    await group.close();
    await until(async () => !(await queue.ping()), { what: 'it is known to be away' });
    await expect(lane?.add('job', {} as never, { jobId: 'one' })).rejects.toThrow();
    await expect(backend.probeWaiting([LANE], 2_000)).rejects.toThrow();
  });
});
