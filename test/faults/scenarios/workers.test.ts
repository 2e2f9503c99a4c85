/** Workers that are killed, starved, blocked, shifted in time or restarted while there is work. */
import path from 'node:path';
import { describe, expect } from 'vitest';
import { projectRoot } from '../../../src/project-root.ts';
import { startTcpProxy, through } from '../../harness/servers/tcp-proxy.ts';
import { until } from '../../harness/until.ts';
import { onBothBackendsInProcesses, processesTest } from '../../support/processes.ts';
import { calling, extraCalls, GATED_ACTIONS, gated, hasEnded, ONE_AT_A_TIME } from '../../support/scenario.ts';
import { echo, type TestAction, workflow } from '../../support/test-task.ts';

const COMPLETED = { status: 'completed', progress: { completed: GATED_ACTIONS } };
const LOCK_MS = 1_500;
const later = (milliseconds: number) => new Promise((resolve) => setTimeout(resolve, milliseconds));
const preload = (name: string) => `--import ${path.join(projectRoot(), 'test', 'support', 'preload', name)}`;

describe.each(onBothBackendsInProcesses())('workers on $backend', ({ test }) => {
  test('all workers are killed at once in the middle of runs, five times over, and every task has one result', async ({
    api,
    processes,
    service,
  }) => {
    service.answer(() => later(30).then(() => ({ body: {} })));
    await processes.compose('api');
    const id = await api.createWorkflow(gated(service));
    const runs = await Promise.all(Array.from({ length: 12 }, () => api.execute(id)));
    for (let kills = 0; kills < 5; kills += 1) {
      const workers = await Promise.all([1, 2].map(() => processes.start('worker', ONE_AT_A_TIME)));
      const seen = service.calls.length;
      await until(() => service.calls.length >= seen + 4, { what: 'the runs are under way' });
      await Promise.all(workers.map((worker) => worker.end('SIGKILL')));
    }
    await processes.compose('worker');
    for (const run of runs) {
      const ended = await api.finished(run);
      expect(ended).toMatchObject(COMPLETED);
      for (const task of ended.tasks)
        expect(task.attempts_history).toMatchObject([{ attempt: 1, status: 'completed' }]);
    }
    expect(extraCalls(service)).toBeLessThanOrEqual(5 * 2);
  });

  test('workers that are restarted one after the other under load repeat no call, and no job stalls', async ({
    api,
    processes,
    service,
    db,
  }) => {
    service.answer(() => later(20).then(() => ({ body: {} })));
    await processes.compose('api');
    let workers = await Promise.all([1, 2].map(() => processes.start('worker', { WORKER_CONCURRENCY: '4' })));
    const id = await api.createWorkflow(gated(service));
    const runs: string[] = [];
    for (let restarts = 0; restarts < 6; restarts += 1) {
      runs.push(...(await Promise.all(Array.from({ length: 10 }, () => api.execute(id)))));
      const seen = service.calls.length;
      await until(() => service.calls.length >= seen + 10, { what: 'the runs are under way' });
      const [oldest, ...others] = workers;
      expect(await oldest?.end('SIGTERM')).toBe(0);
      workers = [...others, await processes.start('worker', { WORKER_CONCURRENCY: '4' })];
    }
    for (const run of runs) expect(await api.finished(run)).toMatchObject(COMPLETED);
    expect(extraCalls(service)).toBe(0);
    for (const child of processes.children) expect(child.events).not.toContain('job_stalled');
    expect((await db.query('SELECT 1 FROM task WHERE fence > 1')).rowCount).toBe(0);
  });

  test('a job that is delivered twice, because its lock was lost, has one result and the same key in both calls', async ({
    api,
    processes,
    service,
    db,
  }) => {
    const waiting: Array<(reply: object) => void> = [];
    service.answer(() => new Promise((resolve) => void waiting.push((body) => resolve({ body }))));
    await processes.compose('api');
    // One job in each at a time: a worker that is given its own job again ends the older call, and this is about two workers.
    const alone = { LOCK_DURATION_MS: '600000', WORKER_CONCURRENCY: '1' };
    await Promise.all([1, 2].map(() => processes.compose('worker', alone)));
    const actions = [calling(service, 'call'), calling(service, 'after', ['call'])];
    const run = await api.execute(await api.createWorkflow(workflow(actions)));
    await until(() => service.calls.length === 1);
    if (processes.redis === undefined)
      await db.query(`UPDATE bullmq.job SET locked_until_ms = 0 WHERE state = 'active'`);
    else await processes.redis.del(`${processes.queuePrefix}:http_request:${run}.1.call:lock`);
    await until(() => service.calls.length === 2, { what: 'the job is delivered again' });
    waiting[1]?.({ by: 'the second' });
    await until(() => service.calls.length === 3, { what: 'the next task has begun' });
    // While the run goes on: what is still under way for one that has ended is stopped.
    waiting[0]?.({ by: 'the first' });
    await until(async () => (await db.query('SELECT 1 FROM late_effect')).rowCount === 1, {
      what: 'the other success is on record',
    });
    waiting[2]?.({ by: 'either' });
    const { status, tasks } = await api.finished(run);
    expect(status).toBe('completed');
    expect(tasks.find((task) => task.action_id === 'call')).toMatchObject({ output: { body: { by: 'the second' } } });
    expect(service.calls[1]?.idempotencyKey).toBe(service.calls[0]?.idempotencyKey);
    expect(service.calls[1]?.body).toEqual(service.calls[0]?.body);
    expect((await db.query(`SELECT 1 FROM attempt WHERE action_id = 'call'`)).rowCount).toBe(1);
  });

  test('a job of a newer release goes back with a delay and is done by a worker that knows it', async ({
    api,
    processes,
    db,
  }) => {
    await processes.compose('api');
    const id = await api.assign({ task_type: 'test_task', params: { n: 1 } });
    await until(async () => (await db.query(`SELECT 1 FROM run WHERE status = 'queued'`)).rowCount === 1);
    const { redis, queuePrefix } = processes;
    const setVersion = async (version: number) => {
      if (redis === undefined)
        return db.query(`UPDATE bullmq.job SET data = jsonb_set(data::jsonb, '{v}', to_jsonb($1::int))`, [version]);
      const key = (await redis.keys(`${queuePrefix}:test_task:${id}*`)).find((name) => !name.endsWith(':lock')) ?? '';
      const data: object = JSON.parse((await redis.hget(key, 'data')) ?? '{}');
      return redis.hset(key, 'data', JSON.stringify({ ...data, v: version }));
    };
    const delayed = async () =>
      redis === undefined
        ? (await db.query(`SELECT 1 FROM bullmq.job WHERE state = 'delayed'`)).rowCount
        : redis.zcard(`${queuePrefix}:test_task:delayed`);
    await setVersion(2);
    await processes.compose('worker');
    await until(async () => (await delayed()) === 1, { what: 'the job is put back' });
    expect(await api.get(`/result/${id}`)).toMatchObject({ body: { status: 'pending' } });
    await setVersion(1);
    expect(await api.ended(id)).toMatchObject({ status: 'completed', attempts: 1, result: { n: 1 } });
  });
});

const test = processesTest('redis');

test('a worker that runs out of memory is a worker that was killed: another one does its tasks', async ({
  api,
  processes,
  service,
}) => {
  service.answer(() => (service.calls.length <= 2 ? undefined : { body: {} }));
  await processes.compose('api');
  const full = await processes.start('worker', {
    NODE_OPTIONS: `--max-old-space-size=64 ${preload('no-memory.mjs')}`,
  });
  const run = await api.execute(
    await api.createWorkflow(
      workflow([calling(service, 'a'), calling(service, 'b'), calling(service, 'c', ['a', 'b'])]),
    ),
  );
  await until(() => service.calls.length === 2);
  full.signal('SIGUSR2');
  await hasEnded(full);
  await processes.compose('worker');
  expect(await api.finished(run)).toMatchObject({ status: 'completed', progress: { completed: 3 } });
  expect(extraCalls(service)).toBe(2);
});

test('a worker whose event loop is blocked for longer than its lock says so and lets go of its task, which ends once', async ({
  api,
  processes,
  service,
}) => {
  const waiting: Array<() => void> = [];
  service.answer(() => new Promise((resolve) => void waiting.push(() => resolve({ body: {} }))));
  await processes.compose('api');
  const blocked = await processes.start('worker', {
    ...ONE_AT_A_TIME,
    NODE_OPTIONS: preload('blocked-loop.mjs'),
    BLOCK_MS: String(4 * LOCK_MS),
  });
  const retry = { max_attempts: 1 };
  const actions = [calling(service, 'call', [], { retry }), echo('after', ['call'])];
  const run = await api.execute(await api.createWorkflow(workflow(actions)));
  await until(() => service.calls.length === 1);
  blocked.signal('SIGUSR2');
  await processes.compose('worker', ONE_AT_A_TIME);
  await until(() => service.calls.length === 2, { what: 'the other worker has the task' });
  await until(() => blocked.events.includes('event_loop_lag'), { what: 'the block is reported' });
  // It gave its call up, and of that nothing may be on record: the only attempt is the other worker's.
  await until(() => service.calls[0]?.abandoned === true, { what: 'the first call is given up' });
  waiting[1]?.();
  const ended = await api.finished(run);
  expect(ended).toMatchObject({ status: 'completed', progress: { completed: 2 } });
  for (const task of ended.tasks) expect(task.attempts_history).toMatchObject([{ attempt: 1, status: 'completed' }]);
});

test('a worker that is cut off from both stores, its connections open, changes nothing when they answer again', async ({
  api,
  processes,
  service,
  db,
}) => {
  const waiting: Array<(reply: object) => void> = [];
  service.answer(() => new Promise((resolve) => void waiting.push((body) => resolve({ body }))));
  const proxies = await Promise.all(
    [processes.databaseUrl, processes.redisUrl ?? ''].map((url) => {
      const { hostname, port } = new URL(url);
      return startTcpProxy({ host: hostname, port: Number(port) });
    }),
  );
  const [database, redis] = proxies;
  if (database === undefined || redis === undefined) throw new Error('there are two');
  await processes.compose('api');
  const cutOff = await processes.start('worker', {
    DATABASE_URL: through(database, processes.databaseUrl),
    REDIS_URL: through(redis, processes.redisUrl ?? ''),
  });
  const run = await api.execute(
    await api.createWorkflow(workflow([calling(service, 'call'), echo('after', ['call'])])),
  );
  await until(() => service.calls.length === 1);
  for (const proxy of proxies) proxy.freeze();
  await processes.compose('worker');
  await until(() => service.calls.length === 2, { what: 'the other worker has the task' });
  waiting[1]?.({ by: 'the other' });
  expect(await api.finished(run)).toMatchObject({
    status: 'completed',
    tasks: [{ output: { body: { by: 'the other' } } }, { status: 'completed' }],
  });
  waiting[0]?.({ by: 'the one that was cut off' });
  for (const proxy of proxies) proxy.thaw();
  await until(async () => (await db.query('SELECT 1 FROM late_effect')).rowCount === 1, {
    what: 'the success that came too late is on record',
  });
  expect(await cutOff.end('SIGTERM')).toBe(0);
  await Promise.all(proxies.map((proxy) => proxy.close()));
});

/** The first worker puts the wait to sleep; the second one joins it then. Milliseconds that their clocks are off. */
test.for<[number, number]>([
  [-3_600_000, 0],
  [0, 3_600_000],
])(
  'with worker clocks that are %i and %i ms off no wait ends early and none is lost',
  async ([first, second], { api, processes, db }) => {
    const worker = (skewMs: number) =>
      processes.start('worker', { NODE_OPTIONS: preload('skewed-clock.mjs'), CLOCK_SKEW_MS: String(skewMs) });
    await processes.compose('api');
    const workers = [await worker(first)];
    const waiting: TestAction = { action_id: 'pause', action_type: 'wait', config: { seconds: 5 } };
    const run = await api.execute(await api.createWorkflow(workflow([waiting, echo('after', ['pause'])])));
    await until(async () => (await db.query(`SELECT 1 FROM task WHERE status = 'waiting'`)).rowCount === 1);
    workers.push(await worker(second));
    expect(await api.finished(run)).toMatchObject({ status: 'completed', progress: { completed: 2 } });
    const { rows } = await db.query<{ seconds: number }>(
      `SELECT extract(epoch FROM p.finished_at - p.started_at)::float8 AS seconds FROM task p WHERE p.action_id = 'pause'`,
    );
    expect(rows[0]?.seconds).toBeGreaterThan(4.9);
    for (const [n, skewMs] of [first, second].entries())
      expect(workers[n]?.events.includes('clock_skew'), `worker ${n + 1} says that its clock is off`).toBe(
        skewMs !== 0,
      );
  },
);
