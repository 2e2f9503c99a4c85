import { test as base, describe, expect, inject } from 'vitest';
import { expectRest } from '../harness/checker/at-rest.ts';
import { reportFailure } from '../harness/failure-log.ts';
import { BACKENDS } from '../harness/servers/backends.ts';
import { startTcpProxy, through } from '../harness/servers/tcp-proxy.ts';
import { startService } from '../harness/services/service.ts';
import { until } from '../harness/until.ts';
import { expectProblem } from '../support/expect-answers.ts';
import { openStack } from '../support/stack.ts';
import { echo, workflow } from '../support/test-task.ts';

const HURRIED = { LOCK_DURATION_MS: '1500', STALLED_INTERVAL_MS: '500', RECONCILE_SECONDS: '1' };

const tests = BACKENDS.map((backend) => ({
  backend,
  test: base
    .extend('proxy', async ({ onTestFinished: _ }, { onCleanup }) => {
      const { hostname, port } = new URL(inject('postgresUrl'));
      const proxy = await startTcpProxy({ host: hostname, port: Number(port) });
      onCleanup(() => proxy.close());
      return proxy;
    })
    .extend('stack', async ({ proxy, onTestFailed }, { onCleanup }) => {
      const stack = await openStack(backend, {
        workers: 2,
        environment: HURRIED,
        databaseUrl: (real) => through(proxy, real),
      });
      onTestFailed((test) => reportFailure(test, stack.log.tail()));
      onCleanup(async () => {
        await proxy.open();
        try {
          await expectRest(stack);
        } finally {
          await stack.stop();
        }
      });
      return stack;
    })
    .extend('service', async ({ onTestFinished: _ }, { onCleanup }) => {
      const service = await startService();
      onCleanup(() => service.close());
      return service;
    }),
}));

describe.each(tests)('a database that is away, on $backend', ({ test }) => {
  test('every door answers 503 with Retry-After, and works again by itself', async ({ stack, proxy }) => {
    const { api } = stack;
    const id = await api.assign({ task_type: 'test_task' });
    await api.ended(id);
    await proxy.shut();
    for (const answer of await Promise.all([
      api.post('/assign-task', { task_type: 'test_task' }),
      api.get(`/result/${id}`),
      api.get('/workflows'),
      api.post('/workflows', workflow([echo('a')])),
      api.get('/executions'),
    ])) {
      expectProblem(answer, 503, 'unavailable');
      expect(Number(answer.headers.get('retry-after'))).toBeGreaterThan(0);
      expect(answer.text).not.toMatch(/ECONN|127\.0\.0\.1|SELECT|postgres/i);
    }
    expect(await api.get('/health')).toMatchObject({
      status: 503,
      body: { status: 'unhealthy', database: 'disconnected' },
    });
    expect(await api.get('/ready')).toMatchObject({ status: 503 });
    expect(await api.get('/livez')).toMatchObject({ status: 200 });
    await proxy.open();
    await until(async () => (await api.get('/health')).status === 200);
    const t = await api.assign({ task_type: 'test_task', params: { n: 1 } });
    expect(await api.ended(t)).toMatchObject({ status: 'completed' });
  });

  test('what is under way when the database goes is completed when it is back, each task once', async ({
    stack,
    proxy,
    service,
  }) => {
    const { api } = stack;
    let release: (() => void) | undefined;
    const gate = new Promise<void>((resolve) => {
      release = resolve;
    });
    service.answer(async () => {
      await gate;
      return { body: { ok: true } };
    });
    const call = {
      ...echo('call'),
      action_type: 'http_request',
      config: { url: service.url },
      retry: { max_attempts: 1 },
    };
    const id = await api.createWorkflow(workflow([call, echo('after', ['call'], {}, { retry: { max_attempts: 1 } })]));
    const runs = await Promise.all(Array.from({ length: 5 }, () => api.execute(id)));
    // Delivered while the database is away.
    const delayed = await api.createWorkflow(
      workflow([echo('late', [], {}, { delay_seconds: 1, retry: { max_attempts: 1 } })]),
    );
    const later = await Promise.all(Array.from({ length: 5 }, () => api.execute(delayed)));
    await until(() => service.calls.length === 5);
    await proxy.shut();
    release?.();
    // For longer than the queue would try by itself: a task with one attempt has six in it.
    const rounds = () => stack.log.lines.filter(({ event }) => event === 'background_work_failed').length;
    await until(() => rounds() >= 40);
    await proxy.open();
    for (const run of runs) {
      expect(await api.finished(run)).toMatchObject({ status: 'completed', tasks: [{ attempts: 1 }, { attempts: 1 }] });
    }
    for (const run of later)
      expect(await api.finished(run)).toMatchObject({ status: 'completed', tasks: [{ attempts: 1 }] });
    expect(new Set(service.calls.map(({ idempotencyKey }) => idempotencyKey)).size).toBe(5);
  });
});
