/** The fence over a retry by hand: what an older epoch still sends changes nothing. */
import { afterAll, beforeAll, expect, test } from 'vitest';
import { createRetryStore } from '../../src/store/runs/reopen-run.ts';
import { type FenceDatabase, openFenceDatabase } from '../support/fence-database.ts';

let db: FenceDatabase;
beforeAll(async () => {
  db = await openFenceDatabase();
});
afterAll(() => db.close());

const retry = (runId: string, epoch: number, actionIds: string[]) =>
  createRetryStore(db.pool).reopen({ runId, epoch, from: ['failed'], actionIds, afterSeconds: 0, by: 'somebody' });

/** `a` completed, `z` failed and ended the run. */
async function failed(): Promise<string> {
  const runId = await db.accepted();
  await db.commit({ runId });
  await db.commit({ runId, actionId: 'z', status: 'failed', endsRun: true });
  return runId;
}

test('the rows of what did not complete begin anew in place, and the others keep theirs', async () => {
  const runId = await failed();
  expect(await retry(runId, 1, ['z'])).toMatchObject({ epoch: 2, gen: 0, status: 'pending', final: false });
  expect(await db.task(runId)).toMatchObject({ epoch: 1, status: 'completed', final: true, output: { done: true } });
  expect(await db.task(runId, 'z')).toMatchObject({
    epoch: 2,
    status: 'pending',
    final: false,
    attempt: 0,
    ended_attempt: 0,
    fence: 1,
    deliveries: 1,
    next_delivery: null,
    wake_at: null,
    error: null,
    output: null,
    commit_id: null,
  });
  expect(await db.run(runId)).toMatchObject({ error: null, output: null, finished_at: null });
});

test('outcomes of the epoch before are refused, successes too, and those of the new one are taken', async () => {
  const runId = await failed();
  await retry(runId, 1, ['z']);
  for (const status of ['completed', 'failed', 'retrying'] as const) {
    expect(await db.commit({ runId, actionId: 'z', attempt: 2, status, endsRun: status !== 'retrying' })).toBe(
      'rejected',
    );
  }
  expect(await db.claim(runId, 'z')).toBeUndefined();
  expect(await db.task(runId, 'z')).toMatchObject({ epoch: 2, status: 'pending', fence: 1 });
  expect(await db.commit({ runId, epoch: 2, actionId: 'a' })).toBe('rejected');
  expect(await db.commit({ runId, epoch: 2, actionId: 'z', endsRun: true, runOutput: '1' })).toBe('accepted');
  expect(await db.run(runId)).toMatchObject({ status: 'completed', output: 1, epoch: 2 });
});

test('the finalizer and an abnormal end of the epoch before change nothing; those of the new one count kept rows', async () => {
  const runId = await failed();
  await retry(runId, 1, ['z']);
  const action = { actionId: 'z', actionType: 'test_task' };
  expect(await db.runs.endAbnormally(runId, 1, 'cancelled', [action])).toBe(false);
  expect(await db.runs.finalize({ runId, tenantId: 't', epoch: 2, actions: 2, output: null })).toBe(false);
  await db.commit({ runId, epoch: 2, actionId: 'z' });
  await db.runs.finalize({ runId, tenantId: 't', epoch: 1, actions: 2, output: null });
  expect(await db.run(runId)).toMatchObject({ final: false });
  expect(await db.runs.finalize({ runId, tenantId: 't', epoch: 2, actions: 2, output: '2' })).toBe(true);
  expect(await db.run(runId)).toMatchObject({ status: 'completed', output: 2 });
});

test('only a run that has failed, in the epoch that was read, is reopened, and by one of many', async () => {
  const runId = await failed();
  const answers = await Promise.all(Array.from({ length: 10 }, () => retry(runId, 1, ['z'])));
  expect(answers.filter((answer) => answer !== undefined)).toHaveLength(1);
  expect((await db.kinds(runId)).filter((kind) => kind.endsWith('.retried'))).toEqual(['run.retried', 'task.retried']);
  expect(await retry(runId, 2, ['z'])).toBeUndefined();
  const completed = await db.accepted();
  await db.commit({ runId: completed, actionId: 'z', endsRun: true });
  expect(await retry(completed, 1, ['z'])).toBeUndefined();
});
