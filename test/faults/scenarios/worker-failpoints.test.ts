/** A worker that dies, is stopped or loses an answer at each place of a delivery where that makes a difference. */
import { describe, expect } from 'vitest';
import { until } from '../../harness/until.ts';
import { taskOf } from '../../support/expect-answers.ts';
import { onBothBackendsInProcesses, processesTest } from '../../support/processes.ts';
import {
  calling,
  extraCalls,
  GATED_ACTIONS,
  gated,
  hasEnded,
  hasStopped,
  ONE_AT_A_TIME,
} from '../../support/scenario.ts';
import { workflow } from '../../support/test-task.ts';

const COMPLETED = { status: 'completed', progress: { total: GATED_ACTIONS, completed: GATED_ACTIONS } };
const ONE_ATTEMPT = [{ attempt: 1, status: 'completed' }];

describe.each(onBothBackendsInProcesses())('a worker at a failpoint on $backend', ({ test }) => {
  test.for([
    ['worker.afterPick', 0, 'with a job that it has not looked at'],
    ['worker.afterExecute', 1, 'between a call and its commit'],
    ['commit.beforeSend', 1, 'with a batch that was not sent'],
    ['commit.afterReply', 0, 'between the commit of a task and its end in the queue'],
    ['gate.afterNth', 0, 'between two gates of one task'],
    ['finalize.afterCommit', 0, 'between the end of a run and the end of its finalizer'],
  ] as const)(
    'a worker that is killed %s:exit loses nothing, and what was committed is not called again',
    async ([failpoint, most], { api, processes, service }) => {
      await processes.compose('api');
      const first = await processes.start('worker', { ...ONE_AT_A_TIME, FAILPOINTS: `${failpoint}:exit` });
      const run = await api.execute(await api.createWorkflow(gated(service)));
      await hasEnded(first);
      await processes.compose('worker', ONE_AT_A_TIME);
      const ended = await api.finished(run);
      expect(ended).toMatchObject(COMPLETED);
      for (const task of ended.tasks) expect(task.attempts_history).toMatchObject(ONE_ATTEMPT);
      expect(extraCalls(service)).toBe(most);
    },
  );

  test('a worker that is killed before it has cached a committed output has only not cached it', async ({
    api,
    processes,
    service,
  }) => {
    await processes.compose('api');
    const first = await processes.start('worker', { ...ONE_AT_A_TIME, FAILPOINTS: 'cache.beforeStore:exit' });
    const cache = { key: 'one', ttl_seconds: 3600 };
    const id = await api.createWorkflow(workflow([calling(service, 'a', [], { cache })]));
    const run = await api.execute(id);
    await hasEnded(first);
    await processes.compose('worker', ONE_AT_A_TIME);
    expect(await api.finished(run)).toMatchObject({ status: 'completed' });
    expect(service.calls).toHaveLength(1);
    const next = await api.finished(await api.execute(id));
    expect(taskOf(next, 'a')).not.toHaveProperty('cached');
    expect(taskOf(await api.finished(await api.execute(id)), 'a')).toMatchObject({ cached: true });
    expect(service.calls).toHaveLength(2);
  });

  test('an answer to a commit that is lost makes the same outcome be sent again, and it is written once', async ({
    api,
    processes,
    service,
    db,
  }) => {
    await processes.compose('api');
    await processes.start('worker', { FAILPOINTS: 'commit.afterReply:throw,commit.afterReply:throw@3' });
    const runs = await Promise.all(
      Array.from({ length: 3 }, async () => api.execute(await api.createWorkflow(gated(service)))),
    );
    for (const run of runs) {
      const ended = await api.finished(run);
      expect(ended).toMatchObject(COMPLETED);
      for (const task of ended.tasks) expect(task.attempts_history).toMatchObject(ONE_ATTEMPT);
    }
    expect(extraCalls(service)).toBe(0);
    expect((await db.query('SELECT 1 FROM late_effect')).rowCount).toBe(0);
  });
});

const test = processesTest('redis');

test.for([
  ['worker.afterPick', 0],
  ['worker.afterExecute', 1],
  ['commit.beforeSend', 1],
  ['commit.afterReply', 0],
  ['gate.afterNth', 0],
] as const)(
  'a worker that is stopped for longer than its lock at %s wakes and changes nothing',
  async ([failpoint, late], { api, processes, service, db }) => {
    await processes.compose('api');
    const zombie = await processes.start('worker', { ...ONE_AT_A_TIME, FAILPOINTS: `${failpoint}:stop` });
    const run = await api.execute(await api.createWorkflow(gated(service)));
    await hasStopped(zombie);
    await processes.compose('worker', ONE_AT_A_TIME);
    expect(await api.finished(run)).toMatchObject(COMPLETED);
    const before = await db.query('SELECT * FROM task ORDER BY action_id');
    zombie.signal('SIGCONT');
    // It is back at work when it has done something else.
    const next = await api.execute(await api.createWorkflow(gated(service)));
    expect(await api.finished(next)).toMatchObject(COMPLETED);
    const lateEffects = async () => (await db.query('SELECT 1 FROM late_effect WHERE run_id = $1', [run])).rowCount;
    await until(async () => (await lateEffects()) === late, { what: 'a success that came too late is on record' });
    const after = await db.query('SELECT * FROM task WHERE run_id = $1 ORDER BY action_id', [run]);
    expect(after.rows).toEqual(before.rows);
    expect(extraCalls(service)).toBe(late);
  },
);
