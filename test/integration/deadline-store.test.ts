/** Deadlines in the statements that end runs: whoever is first, there is one end, and it says why. */
import { afterAll, beforeAll, expect, test } from 'vitest';
import { createReconcileStore } from '../../src/store/recover/reconcile-store.ts';
import { createRetryStore } from '../../src/store/runs/reopen-run.ts';
import { numbers } from '../harness/dags.ts';
import { newRun } from '../harness/outcomes.ts';
import { type FenceDatabase, openFenceDatabase } from '../support/fence-database.ts';

let db: FenceDatabase;
beforeAll(async () => {
  db = await openFenceDatabase();
});
afterAll(() => db.close());

const LAST = { endsRun: true, runOutput: '{"all": "done"}' };
const TIMED_OUT = { code: 'run_timed_out', message: expect.stringContaining('deadline') };
let made = 0;

async function accepted(timeoutSeconds: number | undefined, delaySeconds?: number): Promise<string> {
  made += 1;
  return (await db.runs.accept({ ...newRun(`late-${made}`), timeoutSeconds, delaySeconds })).id;
}
async function overdue(): Promise<string> {
  const id = await accepted(60);
  await db.runs.markQueued(id);
  await db.pool.query(`UPDATE run SET deadline_at = now() - interval '1 second', status = 'queued' WHERE id = $1`, [
    id,
  ]);
  return id;
}
const takeOverdue = () => createReconcileStore(db.pool).takeOverdue(100);

test('a deadline counts from the end of the delay, and a run without one has none', async () => {
  for (const [timeout, delay, expected] of [
    [60, undefined, 60],
    [60, 40, 100],
    [undefined, 40, null],
  ] as const) {
    const id = await accepted(timeout, delay);
    const [row] = await db.rows<{ after: number | null }>(
      'SELECT round(extract(epoch FROM deadline_at - created_at))::int AS after FROM run WHERE id = $1',
      id,
    );
    expect(row?.after).toBe(expected);
  }
});

test('only what is overdue and alive is taken, once, and is cancelling from then on', async () => {
  const early = await accepted(60);
  const late = await overdue();
  const done = await overdue();
  await db.commit({ runId: done, ...LAST });
  const asked = await overdue();
  await db.runs.requestCancel('t', asked, 'enough');
  const taken = await takeOverdue();
  expect(taken.map(({ id, status, wasPending }) => [id, status, wasPending])).toEqual([[late, 'cancelling', false]]);
  expect(await takeOverdue()).toEqual([]);
  expect(await db.run(early)).toMatchObject({ status: 'pending' });
  expect(await db.kinds(late)).toEqual(['run.cancelling']);
  await db.commit({ runId: asked, ...LAST });
  expect(await db.run(asked)).toMatchObject({ status: 'cancelled', error: null });
});

test('whichever statement ends an overdue run, it ends as timed_out with its reason', async () => {
  const ends: Array<(runId: string) => Promise<unknown>> = [
    (runId) => db.commit({ runId, ...LAST, status: 'cancelled' }),
    // What has happened has happened, but too late.
    (runId) => db.commit({ runId, ...LAST, status: 'completed' }),
    (runId) => db.commit({ runId, ...LAST, status: 'failed' }),
    async (runId) => {
      await db.commit({ runId, status: 'cancelled' });
      await db.runs.finalize({ runId, tenantId: 't', epoch: 1, actions: 1, output: '1' });
    },
    (runId) => db.runs.endAbnormally(runId, 1, 'cancelled', [{ actionId: 'a', actionType: 'test_task' }]),
  ];
  for (const end of ends) {
    const runId = await overdue();
    await takeOverdue();
    await end(runId);
    expect(await db.run(runId)).toMatchObject({ status: 'timed_out', final: true, output: null, error: TIMED_OUT });
    expect((await db.kinds(runId)).at(-1)).toBe('run.timed_out');
  }
});

test('a run that ends by itself at its deadline has one end', async () => {
  const ids = await Promise.all(numbers(0, 30).map(overdue));
  const [taken] = await Promise.all([takeOverdue(), ...ids.map((runId) => db.commit({ runId, ...LAST }))]);
  // What was taken before its task was committed has ended as timed_out by that commit.
  const late = new Set(taken.map(({ id }) => id));
  for (const id of ids) {
    const status = late.has(id) ? 'timed_out' : 'completed';
    expect(await db.run(id)).toMatchObject({ status, final: true });
    expect((await db.kinds(id)).filter((kind) => kind.startsWith('run.') && kind !== 'run.cancelling')).toEqual([
      `run.${status}`,
    ]);
  }
});

test('a retry by hand gives a new deadline, and forgets how the run had ended', async () => {
  const runId = await overdue();
  await takeOverdue();
  await db.commit({ runId, ...LAST, status: 'cancelled' });
  const retry = { runId, epoch: 1, from: ['timed_out'] as const, actionIds: ['a'], afterSeconds: 0, by: 'u' };
  await createRetryStore(db.pool).reopen({ ...retry, timeoutSeconds: 60 });
  expect(await takeOverdue()).toEqual([]);
  await db.runs.requestCancel('t', runId, 'enough');
  await db.commit({ runId, epoch: 2, ...LAST });
  expect(await db.run(runId)).toMatchObject({ status: 'cancelled', error: null });
});
