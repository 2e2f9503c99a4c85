/** Tasks that end or block whatever runs them, among tasks that do no harm. */
import { describe, expect } from 'vitest';
import { until } from '../harness/until.ts';
import { isolatedChildren } from '../support/isolated-children.ts';
import { onBothBackendsInProcesses, type Processes } from '../support/processes.ts';

const NEIGHBOURS = 6;
/** As many workers as the rule lets a task have, before it runs alone. */
const MOST_DEATHS = 3;

/** Starts a worker whenever one has ended, as a supervisor does. Returns how to end that. */
function keepWorkers(processes: Processes, count: number): () => Promise<void> {
  let going = true;
  const keep = async () => {
    // One that meets the poison before it is ready is a death like any other.
    while (going) await processes.start('worker').then(ended, () => undefined);
  };
  const ended = (worker: { isAlive(): boolean }) => until(() => !going || !worker.isAlive());
  const keepers = Array.from({ length: count }, keep);
  return async () => {
    going = false;
    await Promise.all(keepers);
  };
}

function deaths({ children }: Processes): number {
  return children.filter(({ kind, isAlive }) => kind === 'worker' && !isAlive()).length;
}

describe.each(onBothBackendsInProcesses({ environment: { BLOCKED_SECONDS: '3' } }))(
  'poison on $backend',
  ({ test }) => {
    for (const [params, what, how] of [
      [{ fault: 'abort' }, 'ends its process', { signal: 'SIGABRT' }],
      // Without taking the cores from everybody else, as one does that computes (below).
      [
        { block_seconds: 600 },
        'never gives the event loop back',
        { signal: 'SIGKILL', killed: expect.stringContaining('stood still') },
      ],
    ] as const) {
      test(`a task that ${what} ends at most ${MOST_DEATHS} workers, fails, and harms no neighbour`, async ({
        api,
        processes,
        service,
      }) => {
        service.answer(() => new Promise((resolve) => setTimeout(() => resolve({ body: { done: true } }), 1_500)));
        await processes.compose('api');
        const neighbours = await Promise.all(
          Array.from({ length: NEIGHBOURS }, (_, n) =>
            api.assign({ task_type: 'http_request', params: { url: `${service.url}/${n}` } }),
          ),
        );
        const stop = keepWorkers(processes, 2);
        await until(() => service.calls.length >= NEIGHBOURS, { what: 'the neighbours are under way' });
        const poison = await api.assign({ task_type: 'test_fault', params });
        expect(await api.ended(poison)).toMatchObject({ status: 'failed', attempts: 1 });
        for (const id of neighbours) expect(await api.ended(id)).toMatchObject({ status: 'completed', attempts: 1 });
        expect(deaths(processes)).toBeGreaterThanOrEqual(1);
        expect(deaths(processes)).toBeLessThanOrEqual(MOST_DEATHS);
        const letters = await api.get('/infrastructure/dlq');
        expect(letters.body).toMatchObject({
          items: [{ action_type: 'test_fault', error: { code: 'worker_crashed', details: how } }],
        });
        await stop();
        expect(deaths(processes)).toBeLessThanOrEqual(MOST_DEATHS);
      });
    }

    test('a process whose worker was killed ends too, although its adapter never gives the event loop back', async ({
      api,
      processes,
    }) => {
      await processes.compose('api');
      const worker = await processes.start('worker');
      const id = await api.assign({
        task_type: 'test_fault_isolated',
        params: { fault: 'spin' },
        timeout_seconds: 3,
        max_attempts: 1,
      });
      await until(() => isolatedChildren((pid) => pid === worker.pid).length === 1);
      const [orphan] = isolatedChildren((pid) => pid === worker.pid);
      await worker.end('SIGKILL');
      await until(() => isolatedChildren(() => true).every(({ pid }) => pid !== orphan?.pid));
      // The deadline has the same effect where the worker lives.
      const second = await processes.start('worker');
      expect(await api.ended(id)).toMatchObject({
        status: 'failed',
        attempts: 1,
        error: expect.stringContaining('longer'),
      });
      await until(() => isolatedChildren((pid) => pid === second.pid).length === 0);
      expect(second.isAlive()).toBe(true);
    });

    test('what was there for tests only is unknown elsewhere', async ({ api, processes }) => {
      await processes.start('api', { NODE_ENV: 'production' });
      const answer = await api.post('/assign-task', { task_type: 'test_fault', params: { fault: 'abort' } });
      expect(answer).toMatchObject({ status: 422, body: { code: 'unknown_task_type' } });
    });
  },
);
