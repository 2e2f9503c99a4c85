/** Runs that sleep while processes die on the way out of the queue and back into it, and while the queue forgets. */
import type pg from 'pg';
import { describe, expect } from 'vitest';
import { accepted, type Client } from '../../harness/client/client.ts';
import { until } from '../../harness/until.ts';
import { onBothBackendsInProcesses, processesTest } from '../../support/processes.ts';
import { hasEnded, hasStopped } from '../../support/scenario.ts';
import { echo, workflow } from '../../support/test-task.ts';

const ASKING = workflow([
  { action_id: 'ask', action_type: 'approval', config: { message: '?' } },
  { action_id: 'pause', action_type: 'wait', config: { seconds: 86_400 } },
  echo('after', ['ask', 'pause']),
]);
const COMPLETED = { status: 'completed', progress: { total: 3, completed: 3 } };

const approve = async (api: Client, run: string) =>
  accepted(await api.post(`/workflows/executions/${run}/approve`, { action_id: 'ask' }), 202);

async function haveLeft(db: pg.Pool, runs: readonly string[]): Promise<void> {
  const inQueue = `SELECT 1 FROM run WHERE id = ANY($1) AND NOT (status = 'waiting' AND left_queue IS TRUE)`;
  const left = async () => (await db.query(inQueue, [runs])).rowCount === 0;
  await until(left, { what: 'the runs have left the queue' });
}

/** As if the day were over. */
async function passDay(db: pg.Pool, run: string): Promise<void> {
  await db.query(
    `UPDATE task SET not_before = now(), wake_at = now() WHERE run_id = $1 AND action_id = 'pause' AND NOT final`,
    [run],
  );
  await db.query(`UPDATE run SET sleeps_until = now(), check_at = now() WHERE id = $1`, [run]);
}

const ownRedis = processesTest('redis', { ownRedis: true });

describe.concurrent.each(onBothBackendsInProcesses())('runs that sleep, on $backend', ({ test }) => {
  test.for(['sleep.afterMark', 'sleep.afterRemove', 'sleep.afterTake'])(
    'a worker that is killed at %s loses none of them',
    async (failpoint, { api, processes, db }) => {
      await processes.compose('api');
      const first = await processes.start('worker', { FAILPOINTS: `${failpoint}:exit` });
      const id = await api.createWorkflow(ASKING);
      const run = await api.execute(id);
      if (failpoint === 'sleep.afterTake') {
        await haveLeft(db, [run]);
        await approve(api, run);
      }
      await hasEnded(first);
      await processes.compose('worker');
      if (failpoint !== 'sleep.afterTake') await approve(api, run);
      await until(
        async () =>
          (await db.query(`SELECT 1 FROM task WHERE run_id = $1 AND action_id = 'ask' AND final`, [run])).rowCount ===
          1,
      );
      await haveLeft(db, [run]);
      await passDay(db, run);
      expect(await api.finished(run)).toMatchObject(COMPLETED);
    },
  );

  test('one that is woken while a stopped worker takes it out of the queue goes on, and is not taken out again', async ({
    api,
    processes,
    db,
  }) => {
    await processes.compose('api');
    const stopped = await processes.start('worker', { FAILPOINTS: 'sleep.afterMark:stop' });
    const run = await api.execute(await api.createWorkflow(ASKING));
    await hasStopped(stopped);
    const other = await processes.start('worker');
    // Who sweeps holds the lock of all; the other delivers what is in the queue.
    await approve(api, run);
    stopped.signal('SIGCONT');
    const asked = async () =>
      (await db.query(`SELECT 1 FROM task WHERE run_id = $1 AND action_id = 'ask' AND final`, [run])).rowCount === 1;
    await until(asked, { what: 'the approval is final' });
    await haveLeft(db, [run]);
    await passDay(db, run);
    expect(await api.finished(run)).toMatchObject(COMPLETED);
    await other.end('SIGTERM');
  });
});

ownRedis.concurrent(
  'Redis forgets everything while runs sleep, in the queue and out of it: each goes on when it is woken or due',
  async ({ api, processes, db }) => {
    await processes.compose('api');
    await processes.compose('worker');
    const id = await api.createWorkflow(ASKING);
    const out = await api.execute(id);
    await haveLeft(db, [out]);
    const inside = await api.execute(id);
    await until(async () => (await api.execution(inside)).status === 'waiting', { what: 'it sleeps' });
    await processes.redis?.flushall();
    for (const run of [out, inside]) await approve(api, run);
    for (const run of [out, inside]) {
      const asked = async () =>
        (await db.query(`SELECT 1 FROM task WHERE run_id = $1 AND action_id = 'ask' AND final`, [run])).rowCount === 1;
      await until(asked, { what: 'the approval is final' });
      await haveLeft(db, [run]);
      await passDay(db, run);
    }
    for (const run of [out, inside]) expect(await api.finished(run)).toMatchObject(COMPLETED);
  },
);
