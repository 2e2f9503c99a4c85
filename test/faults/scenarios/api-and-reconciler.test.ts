/** An API, a reconciler and a finalizer that die or are stopped between two of their steps. */
import { describe, expect } from 'vitest';
import { accepted, field } from '../../harness/client/client.ts';
import { until } from '../../harness/until.ts';
import { onBothBackendsInProcesses, processesTest } from '../../support/processes.ts';
import { extraCalls, GATED_ACTIONS, gated, hasEnded, hasStopped, ONE_AT_A_TIME } from '../../support/scenario.ts';

const COMPLETED = { status: 'completed', progress: { total: GATED_ACTIONS, completed: GATED_ACTIONS } };

describe.each(onBothBackendsInProcesses())('between two steps on $backend', ({ test }) => {
  test.for(['api.afterInsert', 'api.afterAdd'])(
    'an API that is killed at %s has accepted the run: the client that tries again with its key gets that one',
    async (failpoint, { api, processes, service, db }) => {
      const first = await processes.start('api', { FAILPOINTS: `${failpoint}:exit` });
      await processes.compose('worker');
      const id = await api.createWorkflow(gated(service));
      const body = { parameters: {}, idempotency_key: 'one' };
      await expect(api.post(`/workflows/${id}/execute`, body)).rejects.toThrow();
      await hasEnded(first);
      await processes.compose('api');
      const run = field(accepted(await api.post(`/workflows/${id}/execute`, body), 202), 'execution_id');
      expect(await api.finished(run)).toMatchObject(COMPLETED);
      expect((await db.query('SELECT 1 FROM run')).rowCount).toBe(1);
      expect(extraCalls(service)).toBe(0);
    },
  );

  test('an API that is killed before it has answered has kept the key of its run: that one is found, and runs', async ({
    api,
    processes,
    service,
    db,
  }) => {
    const first = await processes.start('api', { FAILPOINTS: 'api.afterInsert:exit' });
    await processes.compose('worker');
    const dedupe = { key: '{{params.order}}', window_seconds: 3600, policy: 'return_existing' };
    const id = await api.createWorkflow({ ...gated(service), dedupe });
    const body = { parameters: { order: 'a' } };
    await expect(api.post(`/workflows/${id}/execute`, body)).rejects.toThrow();
    await hasEnded(first);
    await processes.compose('api');
    const answer = accepted(await api.post(`/workflows/${id}/execute`, body), 202);
    expect(answer.body).toMatchObject({ deduplicated: true });
    expect(await api.finished(field(answer, 'execution_id'))).toMatchObject(COMPLETED);
    expect((await db.query('SELECT 1 FROM run')).rowCount).toBe(1);
    expect(extraCalls(service)).toBe(0);
  });

  test.for(['api.afterInsert', 'api.afterAdd'])(
    'an API that is stopped at %s and wakes after the run has ended adds nothing that runs',
    async (failpoint, { api, processes, service, db }) => {
      const zombie = await processes.start('api', { FAILPOINTS: `${failpoint}:stop` });
      await processes.compose('worker');
      const id = await api.createWorkflow(gated(service));
      const answer = api.post(`/workflows/${id}/execute`, {});
      await hasStopped(zombie);
      await until(async () => (await db.query('SELECT 1 FROM run WHERE final')).rowCount === 1, {
        what: 'the run has been added by the dispatcher, and has ended',
      });
      zombie.signal('SIGCONT');
      const run = field(accepted(await answer, 202), 'execution_id');
      expect(await api.finished(run)).toMatchObject(COMPLETED);
      expect(service.calls).toHaveLength(GATED_ACTIONS);
    },
  );

  test('an API that is killed at cancel.afterStatus has cancelled the run', async ({ api, processes, db }) => {
    const first = await processes.start('api', { FAILPOINTS: 'cancel.afterStatus:exit' });
    await processes.compose('worker');
    const pause = { action_id: 'pause', action_type: 'wait', config: { seconds: 600 } };
    const run = await api.execute(await api.createWorkflow({ name: 'long', actions: [pause] }));
    await until(async () => (await db.query(`SELECT 1 FROM task WHERE status = 'waiting'`)).rowCount === 1);
    await expect(api.post(`/workflows/executions/${run}/cancel`)).rejects.toThrow();
    await hasEnded(first);
    await processes.compose('api');
    expect(await api.finished(run)).toMatchObject({ status: 'cancelled' });
  });

  test('a finalizer that is stopped after it has ended the run wakes and changes nothing', async ({
    api,
    processes,
    service,
    db,
  }) => {
    await processes.compose('api');
    const zombie = await processes.start('worker', { FAILPOINTS: 'finalize.afterCommit:stop' });
    const run = await api.execute(await api.createWorkflow(gated(service)));
    await hasStopped(zombie);
    await processes.compose('worker');
    const ended = async () =>
      (await db.query(`SELECT kind, at FROM event WHERE run_id = $1 AND kind LIKE 'run.%'`, [run])).rows;
    const before = await ended();
    expect(before).toMatchObject([{ kind: 'run.completed' }]);
    // The other worker has the job as well, finds the run final, and it is gone from the queue.
    const next = await api.execute(await api.createWorkflow(gated(service)));
    expect(await api.finished(next)).toMatchObject(COMPLETED);
    zombie.signal('SIGCONT');
    const another = await api.execute(await api.createWorkflow(gated(service)));
    expect(await api.finished(another)).toMatchObject(COMPLETED);
    expect(await ended()).toEqual(before);
    expect(extraCalls(service)).toBe(0);
  });
});

const test = processesTest('redis');

test.for(['reconcile.afterRead', 'reconcile.afterAdd'])(
  'a reconciler that is killed at %s leaves its run to the next one',
  async (failpoint, { api, processes, service }) => {
    await processes.compose('api');
    const first = await processes.start('worker', { ...ONE_AT_A_TIME, FAILPOINTS: `${failpoint}:exit` });
    const hold: Array<() => void> = [];
    service.answer(
      () =>
        new Promise((resolve) =>
          service.calls.length > 2 ? resolve({ body: {} }) : hold.push(() => resolve({ body: {} })),
        ),
    );
    const run = await api.execute(await api.createWorkflow(gated(service)));
    await until(() => service.calls.length === 1);
    await processes.redis?.flushdb();
    await hasEnded(first);
    await processes.compose('worker', ONE_AT_A_TIME);
    hold[0]?.();
    await until(() => service.calls.length === 2, { what: 'the task that was under way is called again' });
    hold[1]?.();
    expect(await api.finished(run)).toMatchObject(COMPLETED);
    expect(extraCalls(service)).toBe(1);
  },
);

test.for(['reconcile.afterRead', 'reconcile.afterAdd'])(
  'a reconciler that is stopped at %s with the lock of all in hand holds nobody up, and changes nothing when it wakes',
  async (failpoint, { api, processes, service, db }) => {
    await processes.compose('api');
    const zombie = await processes.start('worker', { ...ONE_AT_A_TIME, FAILPOINTS: `${failpoint}:stop` });
    service.answer(() => (service.calls.length === 1 ? undefined : { body: {} }));
    const run = await api.execute(await api.createWorkflow(gated(service)));
    await until(() => service.calls.length === 1);
    await processes.redis?.flushdb();
    await hasStopped(zombie);
    await processes.compose('worker', ONE_AT_A_TIME);
    // Lost once more, so that only a reconciler can help.
    await processes.redis?.flushdb();
    expect(await api.finished(run)).toMatchObject(COMPLETED);
    const before = await db.query('SELECT * FROM task ORDER BY action_id');
    zombie.signal('SIGCONT');
    const next = await api.execute(await api.createWorkflow(gated(service)));
    expect(await api.finished(next)).toMatchObject(COMPLETED);
    const after = await db.query('SELECT * FROM task WHERE run_id = $1 ORDER BY action_id', [run]);
    expect(after.rows).toEqual(before.rows);
  },
);
