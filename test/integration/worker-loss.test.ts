import { describe, expect } from 'vitest';
import { statuses } from '../harness/client/client.ts';
import type { Service } from '../harness/services/service.ts';
import { until } from '../harness/until.ts';
import { onBothBackendsInProcesses } from '../support/processes.ts';
import type { TestAction } from '../support/test-task.ts';

const ONE_AT_A_TIME = { WORKER_CONCURRENCY: '1' };

function calling(id: string, url: string, dependsOn: string[] = []): TestAction {
  return {
    action_id: id,
    action_type: 'http_request',
    config: { url: `${url}/${id}`, method: 'POST', body: { id } },
    depends_on: dependsOn,
  };
}
/** Two diamonds with a tail: cut points, a fan-out, a fan-in. */
function diamonds(url: string): { name: string; actions: TestAction[] } {
  const call = (id: string, ...dependsOn: string[]) => calling(id, url, dependsOn);
  return {
    name: 'diamonds',
    actions: [
      call('a'),
      call('b', 'a'),
      call('c', 'a'),
      call('d', 'b', 'c'),
      call('e', 'd'),
      call('f', 'd'),
      call('g', 'e', 'f'),
    ],
  };
}
/** Calls beyond the first one of each task. */
function extraCalls({ calls }: Service): number {
  return calls.length - new Set(calls.map(({ idempotencyKey }) => idempotencyKey)).size;
}

describe.each(onBothBackendsInProcesses())('the loss of workers on $backend', ({ test }) => {
  test('workers that are killed in the middle of runs lose nothing: every task has one committed result', async ({
    api,
    processes,
    service,
  }) => {
    service.answer(
      () => new Promise((resolve) => setTimeout(() => resolve({ body: { n: service.calls.length } }), 40)),
    );
    await processes.compose('api');
    const workers = await Promise.all([1, 2, 3].map(() => processes.start('worker', ONE_AT_A_TIME)));
    const id = await api.createWorkflow(diamonds(service.url));
    const runs = await Promise.all(Array.from({ length: 10 }, () => api.execute(id)));
    let kills = 0;
    for (const worker of workers.slice(0, 2)) {
      const seen = service.calls.length;
      await until(() => service.calls.length >= seen + 5, { what: 'the runs are under way' });
      await worker.end('SIGKILL');
      kills += 1;
    }
    await processes.compose('worker', ONE_AT_A_TIME);
    for (const run of runs) {
      const ended = await api.finished(run);
      expect(ended).toMatchObject({ status: 'completed', progress: { total: 7, completed: 7 } });
      for (const task of ended.tasks)
        expect(task.attempts_history).toMatchObject([{ attempt: 1, status: 'completed' }]);
    }
    expect(extraCalls(service)).toBeLessThanOrEqual(kills);
    expect(new Set(service.calls.map(({ idempotencyKey }) => idempotencyKey)).size).toBe(70);
  });

  test('a restart of everything in the middle of runs is survived', async ({ api, processes, service }) => {
    service.answer(() => new Promise((resolve) => setTimeout(() => resolve({ body: {} }), 40)));
    await processes.start('api');
    await Promise.all([1, 2].map(() => processes.start('worker', ONE_AT_A_TIME)));
    const id = await api.createWorkflow(diamonds(service.url));
    const runs = await Promise.all(Array.from({ length: 8 }, () => api.execute(id)));
    await until(() => service.calls.length >= 10, { what: 'the runs are under way' });
    await Promise.all(processes.children.map((child) => child.end('SIGKILL')));
    const calls = service.calls.length;
    await processes.start('api');
    await Promise.all([1, 2].map(() => processes.start('worker', ONE_AT_A_TIME)));
    for (const run of runs)
      expect(await api.finished(run)).toMatchObject({ status: 'completed', progress: { completed: 7 } });
    expect(service.calls.length).toBeGreaterThan(calls);
    expect(extraCalls(service)).toBeLessThanOrEqual(2);
  });

  test('SIGTERM lets a running task finish and gives the rest back, without a job that stalls', async ({
    api,
    processes,
    service,
    db,
  }) => {
    let answer: (() => void) | undefined;
    service.answer(
      () =>
        new Promise((resolve) => {
          if (service.calls.length > 1) return resolve({ body: { late: true } });
          answer = () => resolve({ body: { first: true } });
        }),
    );
    await processes.compose('api');
    const first = await processes.start('worker', ONE_AT_A_TIME);
    const tasks = Array.from({ length: 6 }, (_, n) =>
      api.assign({ task_type: 'http_request', params: { url: `${service.url}/${n}` } }),
    );
    const ids = await Promise.all(tasks);
    await until(() => service.calls.length === 1);
    const ended = first.end('SIGTERM');
    await until(() => first.events.includes('worker_draining'));
    const second = await processes.start('worker', ONE_AT_A_TIME);
    // Longer than a lock: it is kept until the task has ended.
    await until(() => service.calls.length >= 6, { what: 'the second worker has done the rest' });
    expect(first.isAlive()).toBe(true);
    answer?.();
    expect(await ended).toBe(0);
    for (const id of ids) expect(await api.ended(id)).toMatchObject({ status: 'completed', attempts: 1 });
    expect(extraCalls(service)).toBe(0);
    expect(second.events).not.toContain('job_stalled');
    const { rows } = await db.query<{ workers: number }>('SELECT count(DISTINCT worker)::int AS workers FROM attempt');
    expect(rows[0]?.workers).toBe(2);
  });

  test('what does not end within the grace time goes back at once, and counts no attempt', async ({
    api,
    processes,
    service,
  }) => {
    service.answer(() => (service.calls.length === 1 ? undefined : { body: { second: true } }));
    await processes.compose('api');
    const first = await processes.start('worker', { SHUTDOWN_GRACE_SECONDS: '1' });
    const id = await api.assign({ task_type: 'http_request', params: { url: service.url } });
    await until(() => service.calls.length === 1);
    expect(await first.end('SIGTERM')).toBe(0);
    const second = await processes.start('worker');
    expect(await api.ended(id)).toMatchObject({ status: 'completed', attempts: 1, result: { body: { second: true } } });
    expect(second.events).not.toContain('job_stalled');
    expect(service.calls).toHaveLength(2);
  });

  test('a worker that sleeps for longer than its lock and wakes changes nothing: one result is committed', async ({
    api,
    processes,
    service,
    db,
  }) => {
    let finish: (() => void) | undefined;
    service.answer(
      () =>
        new Promise((resolve) => {
          finish = () => resolve({ body: { done: true } });
        }),
    );
    await processes.compose('api');
    const sleeper = await processes.start('worker');
    const begins = () =>
      processes.children.flatMap(({ events }) => events).filter((e) => e === 'test_fault_begins').length;
    // It does not heed its signal, which a worker that wakes aborts: so it ends with a success, and late.
    const deaf = { action_id: 'deaf', action_type: 'test_fault', config: { deaf_seconds: 3 } };
    const run = await api.execute(
      await api.createWorkflow({ name: 'slept', actions: [deaf, calling('after', service.url, ['deaf'])] }),
    );
    await until(() => begins() === 1);
    sleeper.signal('SIGSTOP');
    await processes.start('worker');
    await until(() => service.calls.length === 1, { what: 'the other worker has done the task and goes on' });
    expect(begins()).toBe(2);
    sleeper.signal('SIGCONT');
    await until(
      async () => ((await db.query('SELECT 1 FROM late_effect WHERE run_id = $1', [run])).rowCount ?? 0) > 0,
      { what: 'the late success is known' },
    );
    finish?.();
    const ended = await api.finished(run);
    expect(ended.status).toBe('completed');
    expect(ended.tasks[0]).toMatchObject({ attempts_history: [{ attempt: 1, status: 'completed' }] });
    expect(statuses(ended)).toEqual({ deaf: 'completed', after: 'completed' });
    expect(service.calls).toHaveLength(1);
  });

  test('two workers share the load', async ({ api, processes, db }) => {
    await processes.compose('api');
    await Promise.all([
      processes.start('worker', { WORKER_CONCURRENCY: '2' }),
      processes.start('worker', { WORKER_CONCURRENCY: '2' }),
    ]);
    const answer = await api.post('/assign-tasks', {
      tasks: Array.from({ length: 40 }, () => ({ task_type: 'test_task', params: { duration: 0.1 } })),
    });
    expect(answer.status).toBe(202);
    await until(async () => (await db.query('SELECT 1 FROM run WHERE final')).rowCount === 40);
    const { rows } = await db.query<{ worker: string; tasks: number }>(
      'SELECT worker, count(*)::int AS tasks FROM attempt GROUP BY 1',
    );
    expect(rows).toHaveLength(2);
    for (const { tasks } of rows) expect(tasks).toBeGreaterThanOrEqual(10);
  });
});
