/**
 * A worker whose connections to the queue are half-open: nothing is closed, and nothing arrives any more. On PostgreSQL
 * those to the tables of the runs are not, and each poll of the queue that finds a connection that answers takes what
 * waits: there the worker is unresponsive as soon as the connection on which it hears of jobs is silent.
 */
import { describe, expect } from 'vitest';
import { expectRest } from '../harness/checker/at-rest.ts';
import type { Child } from '../harness/processes/process.ts';
import { startTcpProxy, type TcpProxy, through } from '../harness/servers/tcp-proxy.ts';
import { until } from '../harness/until.ts';
import { onBothBackendsInProcesses, type Processes } from '../support/processes.ts';

/** A look takes at most a third of it, also on a busy machine: a new connection, and a question for each lane. */
const DEAF = '12';

/**
 * What a test does with a worker that reaches its queue, and only that, through the proxy, and that has done a task and
 * heard that it is done: an outcome of which it has not heard is one in hand.
 */
async function behindProxy(
  processes: Processes,
  work: (proxy: TcpProxy, worker: Child) => Promise<void>,
): Promise<void> {
  const url = processes.redisUrl ?? processes.databaseUrl;
  const { hostname, port } = new URL(url);
  const proxy = await startTcpProxy({ host: hostname, port: Number(port) });
  const name = processes.redisUrl === undefined ? 'DATABASE_URL' : 'REDIS_URL';
  try {
    await processes.compose('api');
    const worker = await processes.start('worker', {
      [name]: through(proxy, url),
      DEAF_SECONDS: DEAF,
      SHUTDOWN_GRACE_SECONDS: '1',
    });
    await processes.api.ended(await processes.api.assign({ task_type: 'test_task' }));
    await expectRest(processes);
    await work(proxy, worker);
  } finally {
    await proxy.close();
  }
}

/** From which ports the connections of the worker to its queue come; of those alone that listen, on request. */
async function queuePorts({ db, redisUrl }: Processes, which: 'all' | 'listening' = 'all') {
  if (redisUrl !== undefined) return {};
  const { rows } = await db.query<{ port: number }>(
    `SELECT client_port AS port FROM pg_stat_activity WHERE datname = current_database()
     AND application_name = 'orchestrator-worker-queue' AND ($1 OR query ~ 'LISTEN "?bullmq_jobs|pg_listening_channels')`,
    [which === 'all'],
  );
  expect(rows).not.toHaveLength(0);
  return { from: new Set(rows.map(({ port }) => port)) };
}

/** What a connection says first that is made to ask one question, or that is none to the queue. */
const NOT_OF_QUEUE = { redis: /-look/, postgres: /application_name\0orchestrator-worker(?!-queue)/ };

describe.concurrent.each(onBothBackendsInProcesses())('a deaf worker on $backend', ({ backend, test }) => {
  test('says so, connects anew and goes on', async ({ api, processes }) => {
    await behindProxy(processes, async (proxy, worker) => {
      proxy.swallow(await queuePorts(processes));
      const id = await api.assign({ task_type: 'test_task', params: { n: 1 } });
      expect(await api.ended(id)).toMatchObject({ status: 'completed', result: { n: 1 } });
      await until(() => worker.events.includes('worker_hears_again'));
      expect(worker.events).toContain('worker_deaf');
      expect(worker.events).not.toContain('process.broken');
      const health = await fetch(`http://127.0.0.1:${worker.port}/health`);
      expect(health.status).toBe(200);
      expect(await worker.end('SIGTERM')).toBe(0);
    });
  });

  test('that cannot be helped ends itself with a code of its own, and is not alive meanwhile', async ({
    api,
    processes,
  }) => {
    await behindProxy(processes, async (proxy, worker) => {
      proxy.swallow({ ...(await queuePorts(processes)), toCome: { except: NOT_OF_QUEUE[backend] } });
      await until(() => worker.events.includes('worker_deaf'));
      const health = await fetch(`http://127.0.0.1:${worker.port}/health`);
      expect([health.status, await health.json()]).toMatchObject([503, { status: 'deaf' }]);
      const metrics = await (await fetch(`http://127.0.0.1:${worker.port}/metrics`)).text();
      expect(metrics).toMatch(/^orchestrator_worker_deaf\{[^}]*\} 1$/m);
      await until(() => !worker.isAlive(), { what: 'the worker has ended' });
      expect(worker.events).toContain('process.broken');
      expect(await worker.ended).toBe(70);
    });
    const id = await api.assign({ task_type: 'test_task', params: { n: 2 } });
    await processes.compose('worker');
    expect(await api.ended(id)).toMatchObject({ status: 'completed' });
  });

  test('ends when it is asked to while its connections to the queue are being made anew', async ({ processes }) => {
    await behindProxy(processes, async (proxy, worker) => {
      await proxy.shut();
      await until(() => worker.events.includes('queue_unreachable'));
      expect(await worker.end('SIGTERM')).toBe(0);
    });
    await processes.compose('worker');
  });

  test('ends with a task in hand while its queue cannot be reached, and another one does that task', async ({
    api,
    processes,
    service,
  }) => {
    service.answer(() => (service.calls.length > 1 ? {} : undefined));
    let inHand = '';
    await behindProxy(processes, async (proxy, worker) => {
      inHand = await api.assign({ task_type: 'http_request', params: { url: service.url } });
      await until(() => service.calls.length === 1);
      await proxy.shut();
      await until(() => worker.events.includes('queue_unreachable'));
      // On PostgreSQL the outcome has nowhere to go either: it is tried until the process has to end.
      expect(await worker.end('SIGTERM')).toBe({ redis: 0, postgres: 1 }[backend]);
    });
    await processes.compose('worker');
    expect(await api.ended(inHand)).toMatchObject({ status: 'completed' });
    expect(service.calls).toHaveLength(2);
  });

  test('is none while the queue cannot be reached at all', async ({ api, processes }) => {
    await behindProxy(processes, async (proxy, worker) => {
      await proxy.shut();
      await until(() => worker.events.includes('queue_unreachable'));
      const id = await api.assign({ task_type: 'test_task' });
      // Longer than a reconnect may take.
      await new Promise((resolve) => setTimeout(resolve, 15_000));
      await proxy.open();
      await api.ended(id);
      expect(worker.events).not.toContain('worker_deaf');
      // What the queue has not heard of only a worker can put right.
      await expectRest(processes);
      expect(await worker.end('SIGTERM')).toBe(0);
    });
  });
});

describe.concurrent.each(onBothBackendsInProcesses().filter(({ backend }) => backend === 'postgres'))(
  'a worker on $backend, where one connection hears for all lanes',
  ({ test }) => {
    test('that no longer hears on it, and only polls, says so and listens on another', async ({ processes }) => {
      await behindProxy(processes, async (proxy, worker) => {
        const before = await queuePorts(processes, 'listening');
        proxy.swallow(before);
        await until(() => worker.events.includes('worker_hears_again'));
        expect(worker.events).toContain('worker_deaf');
        // PostgreSQL is not told of the end of the one that is half-open.
        const after = await queuePorts(processes, 'listening');
        expect([...(after.from ?? [])].filter((port) => before.from?.has(port) !== true)).toHaveLength(1);
        expect(await worker.end('SIGTERM')).toBe(0);
      });
    });
  },
);
