/** Executions that may not be theirs any more: after a pause of the process, and after a restart of the queue's store. */
import { describe, expect } from 'vitest';
import { until } from '../harness/until.ts';
import { onBothBackendsInProcesses, processesTest } from '../support/processes.ts';

const BEGUN = 'test_fault_begins';
const count = (events: readonly string[], event: string) => events.filter((seen) => seen === event).length;

// Longer than a full machine keeps a process from its core: only what is stopped here stands still.
const LOCK = { LOCK_DURATION_MS: '3000' };
const STOPPED_MS = 4_500;

/** Of a lock that ran out meanwhile, the job would be delivered again before its outcome is known. */
const LONGER_THAN_A_RESTART = { LOCK_DURATION_MS: '12000' };

describe.each(onBothBackendsInProcesses({ environment: LOCK }))(
  'a worker that stood still, on $backend',
  ({ test }) => {
    test('leaves a failure from before to the next delivery, although nobody else has the job', async ({
      api,
      processes,
    }) => {
      await processes.compose('api');
      const worker = await processes.start('worker');
      const params = { deaf_seconds: 1.5, fail: 'non_retryable' };
      const id = await api.assign({ task_type: 'test_fault', params });
      await until(() => count(worker.events, BEGUN) === 1);
      worker.signal('SIGSTOP');
      // As long as a lock and more: time is what this is about.
      await new Promise((resolve) => setTimeout(resolve, STOPPED_MS));
      worker.signal('SIGCONT');
      expect(await api.ended(id)).toMatchObject({
        status: 'failed',
        attempts: 1,
        error: expect.stringContaining('never'),
      });
      expect(worker.events).toContain('jobs_distrusted');
      expect(count(worker.events, 'outcome_left')).toBe(1);
      expect(count(worker.events, BEGUN)).toBe(2);
      expect(worker.events).toContain('event_loop_lag');
    });

    test('commits a success from before: the effect has happened', async ({ api, processes }) => {
      await processes.compose('api');
      const worker = await processes.start('worker');
      const id = await api.assign({ task_type: 'test_fault', params: { deaf_seconds: 1.5 } });
      await until(() => count(worker.events, BEGUN) === 1);
      worker.signal('SIGSTOP');
      await new Promise((resolve) => setTimeout(resolve, STOPPED_MS));
      worker.signal('SIGCONT');
      expect(await api.ended(id)).toMatchObject({ status: 'completed', attempts: 1 });
      expect(worker.events).toContain('jobs_distrusted');
      expect(worker.events).not.toContain('outcome_left');
    });

    test('and says so when an adapter blocks it, with the jobs in hand', async ({ api, processes }) => {
      await processes.compose('api');
      const worker = await processes.start('worker');
      const id = await api.assign({ task_type: 'test_fault', params: { block_seconds: 4 } });
      expect(await api.ended(id)).toMatchObject({ status: 'completed' });
      await until(() => worker.events.includes('event_loop_lag'));
      expect(processes.log()).toMatch(/"event":"event_loop_lag".*"in_hand":\d/);
      const metrics = await (await fetch(`http://127.0.0.1:${worker.port}/metrics`)).text();
      const lag = Number(/^orchestrator_event_loop_lag_seconds\{[^}]*\} (\S+)$/m.exec(metrics)?.[1]);
      expect(lag).toBeGreaterThan(2);
      await until(async () => {
        const { body } = await api.get('/workflows/health');
        const { workers } = body as { workers: Array<{ event_loop_lag_ms: number }> }; // As its schema says.
        return workers.some(({ event_loop_lag_ms: ms }) => ms > 2_000);
      });
    });
  },
);

describe('a restart of Redis', () => {
  const test = processesTest('redis', { ownRedis: true, environment: LONGER_THAN_A_RESTART });

  test('leaves failures of what was in hand to the next delivery, and commits successes', async ({
    api,
    processes,
  }) => {
    await processes.compose('api');
    const worker = await processes.start('worker');
    const failing = await api.assign({ task_type: 'test_fault', params: { deaf_seconds: 10, fail: 'non_retryable' } });
    const succeeding = await api.assign({ task_type: 'test_fault', params: { deaf_seconds: 10 } });
    await until(() => count(worker.events, BEGUN) === 2);
    const start = await processes.killRedis();
    await start();
    await until(() => worker.events.includes('jobs_distrusted'), {
      what: 'the worker has seen that it is another server',
    });
    expect(await api.ended(succeeding)).toMatchObject({ status: 'completed', attempts: 1 });
    expect(await api.ended(failing)).toMatchObject({ status: 'failed', attempts: 1 });
    expect(count(worker.events, 'outcome_left')).toBe(1);
    // The one that failed was executed again, the other one was not.
    expect(count(worker.events, BEGUN)).toBe(3);
  });

  test('is one only when the server is another one: a broken connection alone changes nothing', async ({
    api,
    processes,
  }) => {
    await processes.compose('api');
    const worker = await processes.start('worker');
    const id = await api.assign({ task_type: 'test_fault', params: { deaf_seconds: 2, fail: 'non_retryable' } });
    await until(() => count(worker.events, BEGUN) === 1);
    await processes.redis?.client('KILL', 'TYPE', 'normal', 'SKIPME', 'yes');
    expect(await api.ended(id)).toMatchObject({ status: 'failed', attempts: 1 });
    expect(worker.events).not.toContain('jobs_distrusted');
    expect(count(worker.events, BEGUN)).toBe(1);
  });
});
