/** A worker whose connections to the queue are half-open: nothing is closed, and nothing arrives any more. */
import { describe, expect } from 'vitest';
import { expectRest } from '../support/invariants.ts';
import { onBothBackendsInProcesses, type Processes } from '../support/processes.ts';
import { startTcpProxy, type TcpProxy, through } from '../support/tcp-proxy.ts';
import { until } from '../support/until.ts';

/** A look takes at most a third of it, also on a busy machine: a new connection, and a question for each lane. */
const DEAF = '12';

/** A worker that reaches its queue, and only that, through the proxy. */
async function behindProxy(processes: Processes): Promise<{ proxy: TcpProxy; environment: Record<string, string> }> {
  const url = processes.redisUrl ?? processes.databaseUrl;
  const { hostname, port } = new URL(url);
  const proxy = await startTcpProxy({ host: hostname, port: Number(port) });
  const name = processes.redisUrl === undefined ? 'DATABASE_URL' : 'REDIS_URL';
  return { proxy, environment: { [name]: through(proxy, url), DEAF_SECONDS: DEAF, SHUTDOWN_GRACE_SECONDS: '1' } };
}

const redisOnly = onBothBackendsInProcesses().filter(({ backend }) => backend === 'redis');

describe.each(redisOnly)('a deaf worker on $backend', ({ test }) => {
  test('says so, connects anew and goes on', async ({ api, processes }) => {
    await processes.start('api');
    const { proxy, environment } = await behindProxy(processes);
    try {
      const worker = await processes.start('worker', environment);
      await api.ended(await api.assign({ task_type: 'test_task' }));
      proxy.swallow();
      const id = await api.assign({ task_type: 'test_task', params: { n: 1 } });
      expect(await api.ended(id)).toMatchObject({ status: 'completed', result: { n: 1 } });
      expect(worker.events).toContain('worker_deaf');
      expect(worker.events).not.toContain('process.broken');
      await until(() => worker.events.includes('worker_hears_again'), { timeoutMs: 60_000 });
      const health = await fetch(`http://127.0.0.1:${worker.port}/health`);
      expect(health.status).toBe(200);
      expect(await worker.end('SIGTERM')).toBe(0);
    } finally {
      await proxy.close();
    }
  }, 240_000);

  test('that cannot be helped ends itself with a code of its own, and is not alive meanwhile', async ({
    api,
    processes,
  }) => {
    await processes.start('api');
    const { proxy, environment } = await behindProxy(processes);
    try {
      const worker = await processes.start('worker', environment);
      await api.ended(await api.assign({ task_type: 'test_task' }));
      // Only a connection that is made to ask one question gets through.
      proxy.swallow({ toCome: { except: /-look/ } });
      await until(() => worker.events.includes('worker_deaf'), { timeoutMs: 90_000 });
      const health = await fetch(`http://127.0.0.1:${worker.port}/health`);
      expect([health.status, await health.json()]).toMatchObject([503, { status: 'deaf' }]);
      const metrics = await (await fetch(`http://127.0.0.1:${worker.port}/metrics`)).text();
      expect(metrics).toMatch(/^orchestrator_worker_deaf\{[^}]*\} 1$/m);
      await until(() => !worker.isAlive(), { timeoutMs: 90_000, what: 'the worker has ended' });
      expect(worker.events).toContain('process.broken');
      expect(await worker.ended).toBe(70);
    } finally {
      await proxy.close();
    }
    const id = await api.assign({ task_type: 'test_task', params: { n: 2 } });
    await processes.start('worker');
    expect(await api.ended(id)).toMatchObject({ status: 'completed' });
  }, 300_000);

  test('is none while the queue cannot be reached at all', async ({ api, processes }) => {
    await processes.start('api');
    const { proxy, environment } = await behindProxy(processes);
    try {
      // Longer than a reconnect may take.
      const worker = await processes.start('worker', environment);
      await api.ended(await api.assign({ task_type: 'test_task' }));
      await proxy.shut();
      await until(() => worker.events.includes('queue_unreachable'));
      const id = await api.assign({ task_type: 'test_task' });
      await new Promise((resolve) => setTimeout(resolve, 15_000));
      await proxy.open();
      await api.ended(id);
      expect(worker.events).not.toContain('worker_deaf');
      // The queue may not have heard of the end of the first one: then only a worker can put that right.
      await expectRest(processes, 30_000);
      expect(await worker.end('SIGTERM')).toBe(0);
    } finally {
      await proxy.close();
    }
  }, 240_000);
});
