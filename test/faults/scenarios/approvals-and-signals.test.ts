/** Processes that die around what comes from outside: whoever sends it, and whoever waits for it. */
import { describe, expect } from 'vitest';
import { accepted, type Client } from '../../harness/client/client.ts';
import { until } from '../../harness/until.ts';
import { taskOf } from '../../support/expect-answers.ts';
import { onBothBackendsInProcesses } from '../../support/processes.ts';
import { hasEnded, hasStopped } from '../../support/scenario.ts';

const signal = (action_id: string, depends_on: string[] = []) => ({
  ...{ action_id, action_type: 'signal', depends_on },
  config: { name: 'go' },
});
const waits = (api: Client, run: string, actionId: string) =>
  until(async () => taskOf(await api.execution(run), actionId).waiting_for !== undefined, {
    what: `${actionId} waits`,
  });

describe.each(onBothBackendsInProcesses())('approvals and signals on $backend', ({ test }) => {
  test('an API that is killed at inbox.afterCommit has taken the decision or signal, and its task goes on without it', async ({
    api,
    processes,
    db,
  }) => {
    const first = await processes.start('api', { FAILPOINTS: 'inbox.afterCommit:exit' });
    await processes.compose('worker');
    const review = { action_id: 'review', action_type: 'approval' };
    const run = await api.execute(await api.createWorkflow({ name: 'w', actions: [review, signal('go', ['review'])] }));
    const path = `/workflows/executions/${run}`;
    await waits(api, run, 'review');
    await expect(api.post(`${path}/approve`, { action_id: 'review' })).rejects.toThrow();
    await hasEnded(first);
    const second = await processes.start('api', { FAILPOINTS: 'inbox.afterCommit:exit' });
    await waits(api, run, 'go');
    const key = { 'Idempotency-Key': 'once' };
    await expect(api.post(`${path}/signals/go`, { payload: 7 }, key)).rejects.toThrow();
    await hasEnded(second);
    await processes.compose('api');
    const ended = await api.finished(run);
    expect(ended).toMatchObject({ status: 'completed' });
    expect(taskOf(ended, 'review').output).toMatchObject({ approved: true });
    expect(taskOf(ended, 'go').output).toBe(7);
    // The client that tries again hears that it was heard.
    const again = accepted(await api.post(`${path}/signals/go`, { payload: 7 }, key), 202);
    expect(again.headers.get('idempotency-replayed')).toBe('true');
    expect((await db.query('SELECT 1 FROM signal_message')).rowCount).toBe(1);
  });

  test('a signal that arrives while its waiter goes to sleep, or when it is dead, is seen, and one that was taken is taken once', async ({
    api,
    processes,
  }) => {
    await processes.compose('api');
    const first = await processes.start('worker', { FAILPOINTS: 'park.afterMove:stop,park.afterMove:exit@2' });
    const actions = [signal('one'), signal('two', ['one']), signal('three', ['two'])];
    const run = await api.execute(await api.createWorkflow({ name: 'w', actions }));
    const send = async (payload: string) =>
      accepted(await api.post(`/workflows/executions/${run}/signals/go`, { payload }), 202);
    await hasStopped(first);
    await send('a');
    first.signal('SIGCONT');
    await hasEnded(first);
    expect(taskOf(await api.execution(run), 'one').output).toBe('a');
    await send('b');
    const second = await processes.start('worker', { FAILPOINTS: 'worker.afterExecute:exit' });
    await hasEnded(second);
    await processes.compose('worker');
    await waits(api, run, 'three');
    await send('c');
    const ended = await api.finished(run);
    expect(['one', 'two', 'three'].map((id) => taskOf(ended, id).output)).toEqual(['a', 'b', 'c']);
  });
});
