/** Ends of runs that the simulation found to be wrong once. */
import { expect, test } from 'vitest';
import { createRetryRuns } from '../../../../src/engine/control/retry-run.ts';
import { NO_FAILPOINT } from '../../../../src/engine/ports/failpoint.ts';
import { RUN, startedEngine } from '../../../harness/fakes/engine.ts';

const CALLER = { tenantId: 't', userId: 'u', correlationId: undefined, traceId: '' };

test('a run that was cancelled when its last action completed ends as completed when it is retried', async () => {
  const engine = await startedEngine({ a: [] });
  const { deps, store, queue } = engine;
  const lease = engine.take('a');
  engine.behaviours.set('a', async () => {
    await store.runs.requestCancel('t', RUN, undefined);
    return { result: 'output', output: 'done' };
  });
  queue.end(lease, await engine.work(lease));
  expect([engine.run()?.status, engine.row('a')?.status]).toEqual(['cancelled', 'completed']);

  const { plans, log } = deps;
  const { runs, reconcile, retries } = store;
  const retry = createRetryRuns({
    plans,
    runs,
    reconcile,
    retries,
    sagas: store.sagas,
    queue,
    window: 10,
    now: () => 0,
    failpoint: NO_FAILPOINT,
    log,
  });
  expect(await retry.retryRun(CALLER, RUN)).toMatchObject({ epoch: 2, reopened: 0 });
  await engine.drain();
  expect(engine.run()).toMatchObject({ status: 'completed', epoch: 2, output: '{"a":"done"}' });
  expect(engine.calls).toHaveLength(1);
  expect(queue.open()).toEqual([]);
});

test('a finalizer that is released too early does not end the run with what it read before the last action ended', async () => {
  const engine = await startedEngine({ x: [], y: [] });
  const { store, deps } = engine;
  const { outputs } = store.runs;
  await engine.deliver('x');
  const slow = {
    ...store.runs,
    async outputs(runId: string, actionIds: readonly string[]) {
      const read = await outputs(runId, actionIds);
      await engine.deliver('y');
      return read;
    },
  };
  deps.runs = slow;
  expect(await engine.deliverByHand('x', {}, { action_id: null })).toMatchObject({ job: 'delay' });
  deps.runs = store.runs;
  await engine.drain();
  expect(engine.run()).toMatchObject({ status: 'completed', output: '{"x":{"from":"x"},"y":{"from":"y"}}' });
});
