/** Calls of services that fail, are slow or are down, through workflows. */
import { describe, expect } from 'vitest';
import type { Client } from '../harness/client/client.ts';
import { startService } from '../harness/services/service.ts';
import { until } from '../harness/until.ts';
import { onBothBackends } from '../support/fixtures.ts';

const SOON = { backoff: 'fixed', initial_delay_seconds: 0.05, max_delay_seconds: 0.05, jitter: 0 };

// Sleeping and retrying are the engine's, and the same on both.
const [onOne] = onBothBackends({ environment: { WORKER_CONCURRENCY: '4' } });

describe.each([onOne].flatMap((one) => one ?? []))('calls of services on $backend', ({ test }) => {
  async function register(api: Client, body: object): Promise<void> {
    expect((await api.post('/registry/register', body)).status).toBe(200);
  }
  const calling = (service: string, config: object, max_attempts: number, count = 1) => ({
    name: `calls ${service}`,
    actions: Array.from({ length: count }, (_, n) => ({
      action_id: `call_${n}`,
      action_type: 'service_call',
      config: { service, endpoint: `/${n}`, ...config },
      retry: { max_attempts, ...SOON },
    })),
  });

  test('a service that fails half of its calls fails no workflow, and its circuit stays closed', async ({
    api,
    service,
  }) => {
    service.answer(() => ({ status: service.calls.length % 2 === 1 ? 503 : 200 }));
    await register(api, { name: 'moody', base_url: service.url, bulkhead: 1 });
    const run = await api.run(calling('moody', { method: 'POST' }, 12, 8));
    expect(run).toMatchObject({ status: 'completed', error: null });
    expect(service.calls).toHaveLength(16);
    // Each failure was seen by the policy of the action that it belongs to.
    expect(run.tasks.reduce((sum, { attempts }) => sum + attempts, 0)).toBe(16);
  });

  test('a service that is down is let alone once its circuit is open, and the run fails in the time of its policy', async ({
    api,
    service,
  }) => {
    service.answer(() => ({ status: 503 }));
    await register(api, { name: 'down', base_url: service.url, breaker: { failure_threshold: 2 } });
    const run = await api.run(calling('down', {}, 6));
    expect(run).toMatchObject({
      status: 'failed',
      tasks: [{ attempts: 6, error: { code: 'circuit_open', message: "the circuit of the service 'down' is open" } }],
    });
    expect(service.calls).toHaveLength(2);
    const shown = async () => (await api.get('/workflows/health')).body as { circuits: object[] };
    await until(async () => (await shown()).circuits.length > 0);
    expect((await shown()).circuits).toEqual([
      {
        service: 'down',
        instance_id: 'default',
        worker: expect.any(String),
        state: 'open',
        since: expect.stringMatching(/Z$/),
      },
    ]);
    expect((await api.get('/registry/down')).body).toMatchObject({ instances: [{ circuit: 'open' }] });
    expect((await api.get('/workflows/health', { 'x-tenant-id': 'another' })).body).toMatchObject({ circuits: [] });
    // Registered at another address it is another one.
    const back = await startService();
    try {
      await register(api, { name: 'down', base_url: back.url, breaker: { failure_threshold: 2 } });
      expect(await api.run(calling('down', {}, 1))).toMatchObject({ status: 'completed' });
      await until(async () => (await shown()).circuits.length === 0);
      expect((await api.get('/registry/down')).body).toMatchObject({ instances: [{ circuit: 'closed' }] });
    } finally {
      await back.close();
    }
  });

  test('a task that waits for the circuit holds no worker and costs no attempt', async ({ api, service, stack }) => {
    let down = true;
    service.answer(() => ({ status: down ? 503 : 200, body: { ok: true } }));
    await register(api, {
      name: 'away',
      base_url: service.url,
      // Longer than a busy machine takes until all of them wait: what tries again before is another call.
      breaker: { failure_threshold: 1, recovery_timeout: 6 },
    });
    // More of them than the worker takes at a time.
    const workflow = await api.createWorkflow(calling('away', { on_circuit_open: 'wait' }, 3, 6));
    const id = await api.execute(workflow);
    await until(async () => (await api.execution(id)).tasks.every(({ status }) => status === 'waiting'));
    const tried = service.calls.length;
    expect(tried).toBeLessThanOrEqual(4);
    expect(await api.run(calling('away', {}, 1))).toMatchObject({ status: 'failed', tasks: [{ attempts: 1 }] });
    const other = await stack.add('worker');
    down = false;
    const run = await api.finished(id);
    expect(run).toMatchObject({ status: 'completed' });
    // One of them opened the circuit, others were under way: a failed call is an attempt, waiting is none.
    expect(run.tasks.reduce((sum, { attempts }) => sum + attempts, 0)).toBe(6 + tried);
    expect(service.calls).toHaveLength(6 + tried);
    await other.stop();
  });

  test('calls are spread over the instances by weight, and go to another one when one is gone', async ({
    api,
    db,
    service,
  }) => {
    const [other, gone] = [await startService(), await startService()];
    await gone.close();
    try {
      await register(api, { name: 'several', instance_id: 'a', base_url: service.url, weight: 2, bulkhead: 1 });
      await register(api, { name: 'several', instance_id: 'b', base_url: other.url });
      expect(await api.run(calling('several', { method: 'POST' }, 1, 9))).toMatchObject({ status: 'completed' });
      expect([service.calls.length, other.calls.length]).toEqual([6, 3]);

      await register(api, { name: 'several', instance_id: 'c', base_url: gone.url, breaker: { failure_threshold: 2 } });
      const run = await api.run(calling('several', { method: 'POST' }, 1, 9));
      expect(run).toMatchObject({ status: 'completed' });
      expect(run.tasks.map(({ attempts }) => attempts)).toEqual(Array(9).fill(1));
      expect(service.calls.length + other.calls.length).toBe(18);

      // A time that is over is as good as gone.
      await register(api, { name: 'brief', instance_id: 'a', base_url: service.url, ttl_seconds: 60 });
      await db.query(`UPDATE service_instance SET expires_at = now() - interval '1 second' WHERE name = 'brief'`);
      expect(await api.run(calling('brief', {}, 1))).toMatchObject({ tasks: [{ error: { code: 'no_instance' } }] });
      await api.post('/registry/heartbeat', { name: 'brief', instance_id: 'a' });
      await until(async () => (await api.run(calling('brief', {}, 1))).status === 'completed');
    } finally {
      await other.close();
    }
  });

  test('health checks take an instance out, and bring it back', async ({ api, service }) => {
    const other = await startService();
    try {
      let ill = false;
      service.answer(({ path }) => ({ status: path === '/up' && ill ? 503 : 200 }));
      const health_check = {
        path: '/up',
        interval_seconds: 1,
        timeout_seconds: 1,
        healthy_threshold: 1,
        unhealthy_threshold: 1,
      };
      await register(api, { name: 'checked', instance_id: 'a', base_url: service.url, health_check });
      await register(api, { name: 'checked', instance_id: 'b', base_url: other.url });
      const becomes = (status: string) =>
        until(async () => ((await api.get('/registry/checked')).body as { status: string }).status === status, {
          what: `it is ${status}`,
        });
      const calls = () => [service, other].map(({ calls: all }) => all.filter(({ path }) => path !== '/up').length);
      await becomes('healthy');
      expect((await api.get('/registry/checked')).body).toMatchObject({
        health_check,
        instances: [
          { instance_id: 'a', status: 'healthy', latency_ms: expect.any(Number), last_error: null },
          { instance_id: 'b', status: 'healthy', last_check_at: expect.stringMatching(/Z$/) },
        ],
      });
      ill = true;
      await becomes('degraded');
      expect((await api.get('/registry/checked')).body).toMatchObject({
        instances: [{ status: 'unhealthy', last_error: 'answered 503' }, { status: 'healthy' }],
      });
      await api.run(calling('checked', {}, 1, 4));
      expect(calls()).toEqual([0, 4]);
      ill = false;
      await becomes('healthy');
      await api.run(calling('checked', {}, 1, 4));
      expect(calls()[0]).toBeGreaterThanOrEqual(2);
    } finally {
      await other.close();
    }
  });
});
