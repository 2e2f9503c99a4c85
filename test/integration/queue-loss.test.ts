/** What becomes of runs when the Redis of the queue is away, restarted, or has forgotten everything. */
import { test as base, expect } from 'vitest';
import { expectRest } from '../harness/checker/at-rest.ts';
import { reportFailure } from '../harness/failure-log.ts';
import { type RedisServer, startRedis } from '../harness/servers/redis-server.ts';
import { startTcpProxy, through } from '../harness/servers/tcp-proxy.ts';
import { startService } from '../harness/services/service.ts';
import { until } from '../harness/until.ts';
import { processesTest } from '../support/processes.ts';
import { openStack } from '../support/stack.ts';
import { echo, workflow } from '../support/test-task.ts';

const HURRIED = { LOCK_DURATION_MS: '1500', STALLED_INTERVAL_MS: '500', RECONCILE_SECONDS: '1' };

/** A stack on a Redis of its own. */
const test = base
  .extend('redisServer', async ({ onTestFinished: _ }, { onCleanup }) => {
    const servers: RedisServer[] = [await startRedis({ appendOnly: 'always' })];
    onCleanup(() => servers.at(-1)?.stop());
    return {
      get url() {
        return servers[0]?.url ?? '';
      },
      stop: async () => servers.at(-1)?.stop('SIGKILL'),
      async start() {
        const { folder, port } = servers[0] ?? {};
        if (folder === undefined || port === undefined) throw new Error('never started');
        servers.push(await startRedis({ appendOnly: 'always', folder, port }));
      },
    };
  })
  .extend('stack', async ({ redisServer, onTestFailed }, { onCleanup }) => {
    const stack = await openStack('redis', { redisUrl: redisServer.url, workers: 2, environment: HURRIED });
    onTestFailed((test) => reportFailure(test, stack.log.tail()));
    onCleanup(async () => {
      try {
        await expectRest(stack);
      } finally {
        await stack.stop();
      }
    });
    return stack;
  })
  .extend('service', async ({ onTestFinished: _ }, { onCleanup }) => {
    const service = await startService(() => new Promise((resolve) => setTimeout(() => resolve({ body: {} }), 60)));
    onCleanup(() => service.close());
    return service;
  });

/** A chain, a fan-out and a fan-in of calls, with gates: `d` and `e` both wait for `b` and `c`. */
function calls(url: string): object {
  const call = (id: string, dependsOn: string[]) => ({
    ...echo(id, dependsOn),
    action_type: 'http_request',
    config: { url: `${url}/${id}`, method: 'POST' },
  });
  return workflow([
    call('a', []),
    call('b', ['a']),
    call('c', ['a']),
    call('d', ['b', 'c']),
    call('e', ['b', 'c']),
    call('f', ['d', 'e']),
  ]);
}

test('while the queue is down a task is accepted, and it runs when the queue is back', async ({
  stack,
  redisServer,
}) => {
  const { api } = stack;
  await api.ended(await api.assign({ task_type: 'test_task' }));
  await redisServer.stop();
  const ids = [
    await api.assign({ task_type: 'test_task', params: { n: 1 } }),
    await api.assign({ task_type: 'test_task', params: { n: 2 } }),
  ];
  expect((await api.get(`/result/${ids[0]}`)).body).toMatchObject({ status: 'pending' });
  expect(await api.get('/health')).toMatchObject({
    status: 503,
    body: { status: 'unhealthy', redis: 'disconnected', database: 'connected' },
  });
  await redisServer.start();
  expect(await api.ended(ids[0] ?? '')).toMatchObject({ status: 'completed', result: { n: 1 } });
  expect(await api.ended(ids[1] ?? '')).toMatchObject({ status: 'completed', result: { n: 2 } });
  await until(async () => (await api.get('/health')).status === 200, { what: 'it is healthy again' });
});

test('a restart of Redis in the middle of runs is survived', async ({ stack, redisServer, service }) => {
  const { api } = stack;
  const id = await api.createWorkflow(calls(service.url));
  const runs = await Promise.all(Array.from({ length: 20 }, () => api.execute(id)));
  await until(() => service.calls.length >= 30, { what: 'the runs are under way' });
  await redisServer.stop();
  await redisServer.start();
  for (const run of runs)
    expect(await api.finished(run)).toMatchObject({ status: 'completed', progress: { completed: 6 } });
});

test('Redis forgets everything in the middle of runs, and they are completed all the same', async ({
  stack,
  service,
}) => {
  const { api, redis } = stack;
  const id = await api.createWorkflow(calls(service.url));
  const sleeping = await api.execute(
    await api.createWorkflow(
      workflow([{ action_id: 'pause', action_type: 'wait', config: { seconds: 6 } }, echo('after', ['pause'])]),
    ),
  );
  const runs = await Promise.all(Array.from({ length: 20 }, () => api.execute(id)));
  for (const atLeast of [20, 60]) {
    await until(() => service.calls.length >= atLeast, { what: 'the runs are under way' });
    await redis?.flushall();
  }
  for (const run of runs)
    expect(await api.finished(run)).toMatchObject({ status: 'completed', progress: { completed: 6 } });
  expect(await api.finished(sleeping)).toMatchObject({ status: 'completed', tasks: [{ attempts: 1 }, {}] });
  // What was under way may be called twice, nothing else.
  expect(service.calls.length).toBeLessThanOrEqual(20 * 6 + 2 * 40);
});

test('Redis is restarted without any memory while tasks run, wait and retry', async ({ stack, redisServer }) => {
  const { api } = stack;
  const retry = { max_attempts: 3, backoff: 'fixed', initial_delay_seconds: 2 };
  const id = await api.createWorkflow(
    workflow([
      echo('long', [], { duration: 3 }),
      echo('flaky', [], { fail_with: 'not yet', fail_attempts: 2 }, { retry }),
      echo('late', [], {}, { delay_seconds: 3 }),
      echo('end', ['long', 'flaky', 'late']),
    ]),
  );
  const runs = await Promise.all(Array.from({ length: 5 }, () => api.execute(id)));
  await until(async () => (await stack.db.query(`SELECT 1 FROM task WHERE status = 'retrying'`)).rowCount === 5);
  await stack.redis?.flushall();
  await redisServer.stop();
  await redisServer.start();
  for (const run of runs) {
    const ended = await api.finished(run);
    expect(ended).toMatchObject({ status: 'completed', progress: { completed: 4 } });
    expect(ended.tasks.find(({ action_id }) => action_id === 'flaky')).toMatchObject({ attempts: 3 });
  }
});

processesTest('redis', { ownRedis: true })(
  'everything, the queue as well, is killed and started again in the middle of runs',
  async ({ api, processes, service }) => {
    service.answer(() => new Promise((resolve) => setTimeout(() => resolve({ body: {} }), 60)));
    const startAll = async () => {
      await processes.start('api');
      await Promise.all([processes.start('worker'), processes.start('worker')]);
    };
    await startAll();
    const id = await api.createWorkflow(calls(service.url));
    const runs = await Promise.all(Array.from({ length: 20 }, () => api.execute(id)));
    await until(() => service.calls.length >= 30, { what: 'the runs are under way' });
    const [startRedisAgain] = await Promise.all([
      processes.killRedis(),
      ...processes.children.map((child) => child.end('SIGKILL')),
    ]);
    await startRedisAgain();
    await startAll();
    for (const run of runs)
      expect(await api.finished(run)).toMatchObject({ status: 'completed', progress: { completed: 6 } });
  },
  90_000,
);

processesTest('redis')(
  'a worker that is killed between the commit of a task and its end in the queue: the task is not executed again',
  async ({ api, db, processes, service, onTestFinished }) => {
    let answer: (() => void) | undefined;
    service.answer(({ path }) =>
      path === '/d'
        ? new Promise((resolve) => {
            answer = () => resolve({ body: { n: 1 } });
          })
        : { body: {} },
    );
    const { hostname, port } = new URL(processes.redisUrl ?? '');
    const proxy = await startTcpProxy({ host: hostname, port: Number(port) });
    onTestFinished(() => proxy.close());
    await processes.compose('api');
    const first = await processes.start('worker', { REDIS_URL: through(proxy, processes.redisUrl ?? '') });
    const run = await api.execute(await api.createWorkflow(calls(service.url)));
    await until(() => answer !== undefined && service.calls.length === 5, { what: 'the last but one is called' });
    await proxy.shut();
    answer?.();
    await until(
      async () => {
        const { rows } = await db.query<{ final: boolean }>(
          `SELECT final FROM task WHERE run_id = $1 AND action_id = 'd'`,
          [run],
        );
        return rows[0]?.final;
      },
      { what: 'its result is committed' },
    );
    expect((await api.execution(run)).status).toBe('running');
    await first.end('SIGKILL');
    await processes.compose('worker');
    expect(await api.finished(run)).toMatchObject({ status: 'completed', progress: { completed: 6 } });
    expect(service.calls.map(({ path }) => path).sort()).toEqual(['/a', '/b', '/c', '/d', '/e', '/f']);
  },
  60_000,
);
