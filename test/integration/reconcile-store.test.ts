import { afterAll, beforeAll, expect, test } from 'vitest';
import { createReconcileStore } from '../../src/store/recover/reconcile-store.ts';
import { type FenceDatabase, openFenceDatabase } from '../support/fence-database.ts';

let db: FenceDatabase;
beforeAll(async () => {
  db = await openFenceDatabase();
});
afterAll(() => db.close());

test('when the queue has lost something, a run that was added but not marked as queued yet is looked at as well', async () => {
  const sweep = createReconcileStore(db.pool);
  const marked = await db.accepted();
  await db.runs.markQueued(marked);
  const unmarked = await db.accepted();
  await sweep.checkAllNow();
  await db.runs.markQueued(unmarked);
  const taken = await sweep.takeToCheck(10, 30_000);
  expect(taken.map(({ id }) => id).sort()).toEqual([marked, unmarked].sort());
  // They were only taken once.
  expect(await sweep.takeToCheck(10, 30_000)).toEqual([]);
});
