/** What the statements about running tasks let through, and what they take away. */
import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, expect, test } from 'vitest';
import type { TaskReport } from '../../src/engine/deliver/task-reports.ts';
import { createTaskReportStore, removeOldChunks } from '../../src/store/tasks/task-reports.ts';
import { outcome } from '../harness/outcomes.ts';
import { type FenceDatabase, openFenceDatabase } from '../support/fence-database.ts';

let db: FenceDatabase;
beforeAll(async () => {
  db = await openFenceDatabase();
});
afterAll(() => db.close());

function report(runId: string, values: Partial<TaskReport> = {}): TaskReport {
  const task = { tenantId: 't', runId, actionId: 'a', epoch: 1, attempt: 1, fence: 1, execution: randomUUID() };
  return { ...task, percent: null, message: null, truncated: false, chunks: [], ...values };
}
const chunk = (n: number) => ({ n, json: JSON.stringify(`part ${n}`) });
const kept = async (runId: string) =>
  (await db.rows<{ n: number }>('SELECT n FROM task_chunk WHERE run_id = $1 ORDER BY n', runId)).map(({ n }) => n);

test('reports of one execution add up; a batch that is sent again changes nothing', async () => {
  const store = createTaskReportStore(db.pool);
  const runId = await db.accepted();
  const execution = randomUUID();
  const first = report(runId, { execution, percent: 10, message: 'begun', chunks: [chunk(1), chunk(2)] });
  await store.write([first]);
  await store.write([first]);
  await store.write([report(runId, { execution, percent: 20, message: 'begun', chunks: [chunk(3)] })]);
  await store.write([report(runId, { execution, percent: 30, message: 'begun' })]);
  expect(await store.reports(runId, undefined)).toMatchObject([
    { actionId: 'a', execution, percent: 30, message: 'begun', chunks: 3, version: 4, over: false },
  ]);
  const page = { runId, actionId: 'a', execution, after: 1, upTo: 3, limit: 10 };
  expect(await store.chunks(page)).toEqual([
    { n: 2, chunk: 'part 2' },
    { n: 3, chunk: 'part 3' },
  ]);
  expect(await store.chunks({ ...page, upTo: 2 })).toEqual([{ n: 2, chunk: 'part 2' }]);
});

test('a newer attempt or holder takes the place of the older one, and never the other way round', async () => {
  const store = createTaskReportStore(db.pool);
  const runId = await db.accepted();
  const old = report(runId, { percent: 90, chunks: [chunk(1), chunk(2)] });
  await store.write([old]);
  for (const newer of [{ fence: 2 }, { attempt: 2 }, { attempt: 2, fence: 2 }, { epoch: 2 }]) {
    const fresh = report(runId, { ...newer, percent: 1, chunks: [chunk(1)] });
    await store.write([fresh]);
    await store.write([{ ...old, chunks: [chunk(3)] }]);
    expect(await db.rows('SELECT execution, percent, chunks FROM task_report WHERE run_id = $1', runId)).toEqual([
      { execution: fresh.execution, percent: 1, chunks: 1 },
    ]);
    expect(await kept(runId)).toEqual([1]);
  }
  // Of an epoch that is not the run's.
  expect(await store.reports(runId, undefined)).toEqual([]);
});

test('parts of an output stay while the task runs and a little longer, and then go', async () => {
  const store = createTaskReportStore(db.pool);
  const running = await db.accepted();
  const ended = await db.accepted();
  const fresh = await db.accepted();
  for (const runId of [running, ended, fresh]) await store.write([report(runId, { percent: 7, chunks: [chunk(1)] })]);
  await db.pool.query(`UPDATE task_report SET at = now() - interval '2 minutes' WHERE run_id = ANY($1::text[])`, [
    [running, ended],
  ]);
  await db.tasks.markRunning(outcome({ runId: running, status: 'waiting' }));
  await db.commit({ runId: ended });
  await db.commit({ runId: fresh });
  await removeOldChunks(db.pool, 60, 100);
  expect([await kept(running), await kept(ended), await kept(fresh)]).toEqual([[1], [], [1]]);
  // What it said last stays with the run.
  expect(await store.reports(ended, undefined)).toMatchObject([{ percent: 7, over: true }]);
  expect(await removeOldChunks(db.pool, 60, 100)).toBe(0);
});
