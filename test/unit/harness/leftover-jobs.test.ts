/** Jobs of an epoch that is over, or of a run that is gone: they hold nothing back, and nothing is executed for them. */
import { expect, test } from 'vitest';
import type { Edges } from '../../harness/dags.ts';
import { type FakeEngine, RUN, startedEngine } from '../../harness/fakes/engine.ts';

/** No tree can hold it without gates. */
const RING: Edges = { a: [], b: [], c: [], ab: ['a', 'b'], bc: ['b', 'c'], ca: ['c', 'a'] };

/** The run goes on in another epoch, as after a retry by hand. */
function retried(engine: FakeEngine): void {
  const run = engine.run();
  if (run !== undefined) run.epoch += 1;
}

test.each([
  ['of an epoch that is over', retried],
  ['of a run that was removed', (engine: FakeEngine) => void engine.store.truth.runs.delete(RUN)],
])('jobs %s all end, with their gates', async (_, change) => {
  const engine = await startedEngine(RING);
  expect(engine.queue.gates().length).toBeGreaterThan(0);
  change(engine);
  await engine.drain();
  expect(engine.queue.open()).toEqual([]);
  expect(engine.calls).toEqual([]);
  expect(engine.queue.violations).toEqual([]);
});

test('a job whose run is retried while it is executed leaves nothing behind, and its success is kept as a late effect', async () => {
  const engine = await startedEngine(RING);
  engine.behaviours.set('a', () => {
    retried(engine);
    return { result: 'output', output: { late: true } };
  });
  expect(await engine.deliver('a')).toEqual({ job: 'complete' });
  expect(engine.store.truth.lateEffects).toMatchObject([{ actionId: 'a', epoch: 1 }]);
  expect(engine.row('a')).toBeUndefined();
  await engine.drain();
  expect(engine.queue.open()).toEqual([]);
});
