/** Processes that die while a run is paused, or between what a door commits and what it does in the queue. */
import { describe, expect } from 'vitest';
import { accepted, statuses, taskOf } from '../support/client.ts';
import { onBothBackendsInProcesses } from '../support/processes.ts';
import { calling, hasEnded, ONE_AT_A_TIME } from '../support/scenario.ts';
import type { Reply } from '../support/service.ts';
import { echo, workflow } from '../support/test-task.ts';
import { until } from '../support/until.ts';

const at = (run: string) => `/workflows/executions/${run}`;
const LONG_WAIT = { action_type: 'wait', config: { seconds: 600 } };

describe.each(onBothBackendsInProcesses())('control of executions on $backend', ({ test }) => {
  test('a worker that is killed while its run is paused costs no more than its attempt, and begins nothing', async ({
    processes,
    api,
    service,
    db,
  }) => {
    let answer: (reply: Reply) => void = () => undefined;
    service.answer(() => new Promise<Reply>((resolve) => (answer = resolve)));
    await processes.start('api');
    const first = await processes.start('worker', ONE_AT_A_TIME);
    const run = await api.execute(await api.createWorkflow(workflow([calling(service, 'a'), echo('b', ['a'])])));
    await until(() => service.calls.length === 1);
    accepted(await api.post(`${at(run)}/pause`), 202);
    await first.end('SIGKILL');
    // Its job stalls, is delivered to another one and put off; that one dies as soon as the job is asleep.
    const second = await processes.start('worker', { ...ONE_AT_A_TIME, FAILPOINTS: 'park.afterMove:exit' });
    await hasEnded(second);
    expect(await api.execution(run)).toMatchObject({ status: 'paused' });
    expect(statuses(await api.execution(run))).toEqual({ a: 'waiting', b: 'pending' });
    expect(service.calls).toHaveLength(1);
    await processes.start('worker');
    accepted(await api.post(`${at(run)}/resume`), 202);
    await until(() => service.calls.length === 2);
    answer({ body: {} });
    expect(await api.finished(run)).toMatchObject({ status: 'completed' });
    expect(new Set(service.calls.map(({ idempotencyKey }) => idempotencyKey)).size).toBe(1);
    const { rows } = await db.query('SELECT attempt, status FROM attempt WHERE run_id = $1 AND action_id = $2', [
      run,
      'a',
    ]);
    expect(rows).toEqual([{ attempt: 1, status: 'completed' }]);
  });

  test('an API that dies between its commit and the queue is made up for by the reconciler', async ({
    processes,
    api,
    service,
  }) => {
    let answer: (reply: Reply) => void = () => undefined;
    service.answer(() => new Promise<Reply>((resolve) => (answer = resolve)));
    const first = await processes.start('api', { FAILPOINTS: 'settle.afterCommit:exit' });
    await processes.start('worker');
    const id = await api.createWorkflow(
      workflow([
        { action_id: 'asleep', ...LONG_WAIT },
        calling(service, 'call', ['asleep']),
        echo('next', ['call']),
        { action_id: 'last', ...LONG_WAIT, depends_on: ['next'] },
      ]),
    );
    const run = await api.execute(id);
    const isWaiting = (actionId: string) =>
      until(async () => taskOf(await api.execution(run), actionId).status === 'waiting');
    const settle = (action_id: string) => api.post(`${at(run)}/complete`, { action_id, output: action_id });
    await isWaiting('asleep');
    await expect(settle('asleep')).rejects.toThrow();
    await hasEnded(first);
    const second = await processes.start('api', { FAILPOINTS: 'resume.afterStatus:exit' });
    await until(() => service.calls.length === 1);
    accepted(await api.post(`${at(run)}/pause`), 202);
    answer({ body: {} });
    await isWaiting('next');
    await expect(api.post(`${at(run)}/resume`)).rejects.toThrow();
    await hasEnded(second);
    const third = await processes.start('api', { FAILPOINTS: 'settle.afterCommit:exit' });
    await isWaiting('last');
    // It is the acknowledgement of its job that ends the run.
    await expect(settle('last')).rejects.toThrow();
    await hasEnded(third);
    await processes.start('api');
    expect(await api.finished(run)).toMatchObject({ status: 'completed', output: { last: 'last' } });
    expect(service.calls).toHaveLength(1);
  });
});

// The commit is the same on both.
const redisOnly = onBothBackendsInProcesses().filter(({ backend }) => backend === 'redis');

describe.each(redisOnly)('an action settled by hand on $backend', ({ test }) => {
  test('a success that comes after its action was completed by hand is kept as a late effect', async ({
    processes,
    api,
    service,
    db,
  }) => {
    await processes.start('api');
    await processes.start('worker', { FAILPOINTS: 'worker.afterExecute:sleep(1500)@1' });
    const run = await api.execute(await api.createWorkflow(workflow([calling(service, 'a'), echo('b', ['a'])])));
    await until(() => service.calls.length === 1);
    accepted(await api.post(`${at(run)}/complete`, { action_id: 'a', output: { by: 'hand' } }), 200);
    expect(taskOf(await api.finished(run), 'a').output).toEqual({ by: 'hand' });
    const late = () => db.query('SELECT action_id, attempt FROM late_effect WHERE run_id = $1', [run]);
    await until(async () => (await late()).rowCount === 1);
    expect((await late()).rows).toEqual([{ action_id: 'a', attempt: 1 }]);
  });
});
