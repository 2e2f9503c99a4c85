import { expect, test } from 'vitest';
import { createFairness } from '../../../../src/engine/accept/fairness.ts';
import { type ReconcileDeps, reconcileOnce } from '../../../../src/engine/recover/reconcile.ts';
import { DIAMOND } from '../../../harness/dags.ts';
import { RUN, startedEngine, WORKFLOW } from '../../../harness/fakes/engine.ts';

async function overdue(id: string) {
  const engine = await startedEngine(DIAMOND);
  const deps: ReconcileDeps = {
    ...engine.deps,
    runs: engine.store.runs,
    reconcile: engine.store.reconcile,
    window: 100,
    fairness: createFairness(() => 1),
    checkEveryMs: 30_000,
    suspects: new Map(),
    queueUse: async () => undefined,
  };
  if (id !== RUN) engine.store.insert({ id, of: WORKFLOW });
  engine.store.overdue.add(id);
  return { engine, deps, status: () => engine.store.truth.runs.get(id)?.status };
}

test('a run that waits to be added to the queue when its deadline passes is not added any more', async () => {
  const { engine, deps, status } = await overdue('p1');
  await reconcileOnce(deps);
  expect(status()).toBe('timed_out');
  expect(engine.queue.job('test_task', 'p1.1.a')).toBeUndefined();
  expect(['a', 'b', 'c', 'd'].map((id) => engine.store.task('p1', id)?.status)).toEqual(Array(4).fill('cancelled'));
});

test('deadlines hold while the queue does not answer', async () => {
  const { deps, status } = await overdue('p1');
  await expect(reconcileOnce({ ...deps, queue: { ...deps.queue, ping: async () => false } })).rejects.toThrow();
  expect(status()).toBe('timed_out');
});

test('a run in the queue goes through its remaining actions without executing them, and ends as timed out', async () => {
  const { engine, deps, status } = await overdue(RUN);
  await reconcileOnce(deps);
  expect(status()).toBe('cancelling');
  await engine.drain();
  expect([status(), engine.calls]).toEqual(['timed_out', []]);
  expect([engine.queue.open(), engine.queue.gates()]).toEqual([[], []]);
});

test('a process that dies between the mark and the end leaves a run that ends all the same', async () => {
  const { engine, deps, status } = await overdue('p1');
  const endAbnormally = async () => Promise.reject(new Error('gone'));
  await reconcileOnce({ ...deps, runs: { ...deps.runs, endAbnormally } });
  expect(status()).toBe('cancelling');
  // Nothing of it is in the queue: it is missing twice, and then added.
  for (let pass = 0; pass < 3; pass += 1) {
    engine.store.due.add('p1');
    await reconcileOnce(deps);
  }
  await engine.drain();
  expect(status()).toBe('timed_out');
});

test('a run whose task sleeps in the queue, and of which only the mark as queued is late, leaves nothing there', async () => {
  const { engine, deps, status } = await overdue(RUN);
  const run = engine.run();
  if (run !== undefined) run.status = 'pending';
  engine.behaviours.set('a', () => ({ result: 'park', until: undefined }));
  expect(await engine.deliver('a')).toMatchObject({ job: 'delay' });
  await reconcileOnce(deps);
  // Nothing would take it before its time.
  expect(engine.queue.open().filter(({ state }) => state === 'delayed')).toEqual([]);
  await engine.drain();
  expect(status()).toBe('timed_out');
  expect([engine.queue.open(), engine.queue.gates()]).toEqual([[], []]);
});
