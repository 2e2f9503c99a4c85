/** Pausing, resuming and settling manually, over ports in memory: what needs no API and no process. */
import { describe, expect, test } from 'vitest';
import { createFairness } from '../../../../src/engine/accept/fairness.ts';
import { createPauseRuns } from '../../../../src/engine/control/pause-run.ts';
import { settleLostJob } from '../../../../src/engine/deliver/execute-task.ts';
import { type ReconcileDeps, reconcileOnce } from '../../../../src/engine/recover/reconcile.ts';
import { createManualCompletion } from '../../../../src/features/manual-completion/complete-manually.ts';
import { DIAMOND, type Edges } from '../../../harness/dags.ts';
import { createFakeControl } from '../../../harness/fakes/control.ts';
import { type FakeEngine, failure, NOW, output, RUN, startedEngine, tries } from '../../../harness/fakes/engine.ts';

const CALLER = { tenantId: 't', userId: 'ada', correlationId: undefined, traceId: '' };
const UNSAID = { reason: undefined };
const CHAIN: Edges = { a: [], b: ['a'], c: ['b'] };

async function controlled(edges: Edges, change?: Parameters<typeof startedEngine>[1]) {
  const engine = await startedEngine(edges, change);
  const { store, queue, deps, log } = engine;
  const { pauses, byHand } = createFakeControl(store);
  const common = { plans: deps.plans, runs: store.runs, queue, log };
  const { failpoint, newId, maxOutputBytes } = deps;
  /** A request whose process dies between its commit and what it does in the queue. */
  const dies = async () => {
    throw new Error('the process is dead');
  };
  const pause = (fails = false) => createPauseRuns({ ...common, pauses, failpoint: fails ? dies : failpoint });
  const hand = (fails = false) =>
    createManualCompletion({
      ...common,
      ends: byHand,
      newId,
      now: () => new Date(0),
      maxOutputBytes,
      failpoint: fails ? dies : failpoint,
    });
  const sweep: ReconcileDeps = {
    ...deps,
    runs: store.runs,
    reconcile: store.reconcile,
    window: 100,
    checkEveryMs: 30_000,
    suspects: new Map(),
    fairness: createFairness(() => 1),
    queueUse: async () => undefined,
  };
  return {
    engine,
    pause,
    hand,
    pass: () => {
      store.due.add(RUN);
      return reconcileOnce(sweep);
    },
  };
}
const finish = async (engine: FakeEngine) => {
  await engine.drain();
  expect(engine.run()).toMatchObject({ final: true });
  expect([engine.queue.open(), engine.queue.gates(), engine.queue.violations]).toEqual([[], [], []]);
};
const states = (engine: FakeEngine) =>
  Object.fromEntries(['a', 'b', 'c', 'd'].map((id) => [id, engine.row(id)?.status] as const));
const jobState = (engine: FakeEngine, id: string) => engine.queue.job('test_task', `run.1.${id}`)?.state;
const executed = ({ calls }: FakeEngine) => calls.map(({ actionId }) => actionId);

describe('a paused run', () => {
  test('defers what is delivered: nothing is executed, decided or counted, until it is resumed', async () => {
    const { engine, pause } = await controlled(DIAMOND);
    await engine.deliver('a');
    await pause().pauseRun(CALLER, RUN, undefined);
    for (const id of ['b', 'c']) {
      expect(await engine.deliver(id)).toMatchObject({ job: 'delay', untilMs: NOW + 3_600_000 });
      expect(engine.row(id)).toMatchObject({ status: 'waiting', final: false, endedAttempt: 0, deliveries: 1 });
    }
    expect(executed(engine)).toEqual(['a']);
    expect([jobState(engine, 'b'), jobState(engine, 'c')]).toEqual(['delayed', 'delayed']);
    expect(await pause().resumeRun(CALLER, RUN, undefined)).toBe('running');
    expect([jobState(engine, 'b'), jobState(engine, 'c')]).toEqual(['waiting', 'waiting']);
    await finish(engine);
    expect(executed(engine).sort()).toEqual(['a', 'b', 'c', 'd']);
    // As clean as first deliveries: paused often, a task is not taken for one that kills its workers.
    for (const id of ['b', 'c']) expect(engine.row(id)).toMatchObject({ fence: 1, deliveries: 1 });
  });

  test('of any number of pauses none counts as a delivery', async () => {
    const { engine, pause } = await controlled(CHAIN);
    for (let round = 0; round < 15; round += 1) {
      await pause().pauseRun(CALLER, RUN, undefined);
      expect(await engine.deliver('a')).toMatchObject({ job: 'delay' });
      await pause().resumeRun(CALLER, RUN, undefined);
    }
    await finish(engine);
    expect(engine.row('a')).toMatchObject({ status: 'completed', attempt: 1, fence: 1, deliveries: 1 });
  });

  test('is read again once the job is asleep: a resume that came before is not lost', async () => {
    const { engine, pause } = await controlled(CHAIN);
    await pause().pauseRun(CALLER, RUN, undefined);
    const disposition = await engine.work(engine.take('a'));
    if (disposition.job !== 'delay') throw new Error(`was to be deferred, not to ${disposition.job}`);
    expect(await disposition.dueAlready?.()).toBe(false);
    // The job is still active, so the resume finds nothing to wake.
    await pause().resumeRun(CALLER, RUN, undefined);
    expect(await disposition.dueAlready?.()).toBe(true);
  });

  test('that is resumed by a process that dies is woken by the reconciler', async () => {
    const { engine, pause, pass } = await controlled(DIAMOND);
    await engine.deliver('a');
    await pause().pauseRun(CALLER, RUN, undefined);
    await engine.deliver('b');
    await engine.deliver('c');
    await pass();
    expect(jobState(engine, 'b'), 'the reconciler leaves a paused run alone').toBe('delayed');
    await expect(pause(true).resumeRun(CALLER, RUN, undefined)).rejects.toThrow('dead');
    expect([jobState(engine, 'b'), jobState(engine, 'c')]).toEqual(['delayed', 'delayed']);
    await pass();
    expect([jobState(engine, 'b'), jobState(engine, 'c')]).toEqual(['waiting', 'waiting']);
    await finish(engine);
  });

  test('whose jobs were lost meanwhile gets them back after the resume', async () => {
    const { engine, pause, pass } = await controlled(DIAMOND);
    await engine.deliver('a');
    await pause().pauseRun(CALLER, RUN, undefined);
    await engine.deliver('b');
    engine.queue.wipe();
    for (let n = 0; n < 3; n += 1) await pass();
    expect(engine.queue.jobs()).toEqual([]);
    await pause().resumeRun(CALLER, RUN, undefined);
    await pass();
    await pass();
    await finish(engine);
  });

  test('lets what runs end, counts its attempts, and starts no next one', async () => {
    const { engine, pause } = await controlled(CHAIN, () => tries(2));
    engine.behaviours.set('a', async ({ attempt }) => {
      if (attempt > 1) return output('well');
      await pause().pauseRun(CALLER, RUN, undefined);
      return failure('no');
    });
    expect(await engine.deliver('a')).toMatchObject({ job: 'retry', delayMs: 3_000 });
    expect(engine.row('a')).toMatchObject({ status: 'retrying', endedAttempt: 1 });
    expect(await engine.deliverByHand('a', { attemptsMade: 1, attemptsStarted: 2 })).toMatchObject({ job: 'delay' });
    expect(engine.row('a')).toMatchObject({ status: 'waiting', endedAttempt: 1 });
    expect(executed(engine)).toEqual(['a']);
  });

  test('ends when its last running action ends, as there is nothing left to start', async () => {
    const { engine, pause } = await controlled({ a: [] });
    engine.behaviours.set('a', async () => {
      await pause().pauseRun(CALLER, RUN, undefined);
      return output('well');
    });
    await engine.deliver('a');
    expect(engine.run()).toMatchObject({ status: 'completed', final: true });
  });
});

describe('an action that is settled manually', () => {
  test('while its adapter runs: the outcome of that is rejected, and a success is stored as a late effect', async () => {
    const { engine, hand } = await controlled(CHAIN);
    engine.behaviours.set('a', async () => {
      await hand().complete(CALLER, { runId: RUN, actionId: 'a' }, { by: 'hand' }, UNSAID);
      return output('late');
    });
    expect(await engine.deliver('a')).toEqual({ job: 'complete' });
    expect(engine.row('a')).toMatchObject({ status: 'completed', output: '{"by":"hand"}', worker: 'by hand' });
    expect(engine.store.truth.lateEffects).toMatchObject([{ actionId: 'a', output: '"late"' }]);
    await finish(engine);
  });

  test('as the last one, while its adapter runs: its acknowledgement ends the run', async () => {
    const { engine, hand } = await controlled({ a: [], b: ['a'] });
    engine.behaviours.set('b', async () => {
      await hand().complete(CALLER, { runId: RUN, actionId: 'b' }, 'by hand', UNSAID);
      return failure('no');
    });
    await engine.deliver('a');
    await engine.deliver('b');
    expect(engine.run()).toMatchObject({ status: 'completed', final: true, output: '{"b":"by hand"}' });
    await finish(engine);
  });

  test('before it is ready, keeps its position: the run does not end before what stands above it', async () => {
    const { engine, hand } = await controlled(CHAIN);
    await hand().complete(CALLER, { runId: RUN, actionId: 'c' }, 1, UNSAID);
    await hand().skip(CALLER, { runId: RUN, actionId: 'b' }, UNSAID);
    expect(engine.run()?.final).toBe(false);
    await finish(engine);
    expect(engine.run()).toMatchObject({ status: 'completed', output: '{"c":1}' });
    expect(states(engine)).toMatchObject({ a: 'completed', b: 'skipped', c: 'completed' });
    expect(executed(engine)).toEqual(['a']);
  });

  test('before it is ready, and then the queue is wiped: what stands above it is added again too', async () => {
    // In a chain it would be left out with all that is under its job, and the run ended before `a` was done.
    for (const [edges, others] of [
      [CHAIN, ['a', 'c']],
      [DIAMOND, ['a', 'c', 'd']],
    ] as const) {
      const { engine, hand, pass } = await controlled(edges);
      await hand().complete(CALLER, { runId: RUN, actionId: 'b' }, 1, UNSAID);
      engine.queue.wipe();
      await pass();
      await pass();
      await finish(engine);
      expect(executed(engine)).toEqual(others);
      expect(engine.run()).toMatchObject({ status: 'completed' });
    }
  });

  test('while it sleeps, by a process that dies: the reconciler has it acknowledged, though a last one has ended all', async () => {
    for (const edges of [CHAIN, { a: [] }, { a: [], b: [] }] satisfies Edges[]) {
      const { engine, hand, pass } = await controlled(edges);
      engine.behaviours.set('a', () => ({ result: 'sleep', until: new Date(NOW + 1e9) }));
      await engine.deliver('a');
      await expect(hand(true).skip(CALLER, { runId: RUN, actionId: 'a' }, UNSAID)).rejects.toThrow('dead');
      expect([engine.run()?.final, jobState(engine, 'a')]).toEqual([false, 'delayed']);
      await pass();
      expect(jobState(engine, 'a')).toBe('waiting');
      await finish(engine);
      expect(engine.row('a')).toMatchObject({ status: 'skipped' });
    }
  });

  test('and whose job the queue gives up: what waits for it is released all the same', async () => {
    const { engine, hand } = await controlled({ a: [], s: [], b: ['a'], c: ['a'], d: ['b', 'c', 's'] });
    const lease = engine.take('a');
    const job = engine.queue.job('test_task', lease.delivery.jobId);
    if (job === undefined) throw new Error('no job');
    const delivery = engine.queue.giveUp(job);
    await hand().skip(CALLER, { runId: RUN, actionId: 'a' }, UNSAID);
    await settleLostJob(engine.deps, delivery, 'stalled too often');
    await finish(engine);
    expect(states(engine)).toEqual({ a: 'skipped', b: 'skipped', c: 'skipped', d: 'completed' });
  });

  test('is skipped like any other: a branch under it is skipped, a join goes on', async () => {
    const { engine, hand } = await controlled({ a: [], b: [], c: ['a'], d: ['a', 'b'] });
    await hand().skip(CALLER, { runId: RUN, actionId: 'a' }, UNSAID);
    await finish(engine);
    expect(states(engine)).toEqual({ a: 'skipped', b: 'completed', c: 'skipped', d: 'completed' });
  });

  test('is rejected once it or its run has ended, is being cancelled, or when its output cannot be stored', async () => {
    const { engine, hand } = await controlled(CHAIN);
    await engine.deliver('a');
    const rejection = (code: string) => expect.objectContaining({ code });
    await expect(hand().skip(CALLER, { runId: RUN, actionId: 'a' }, UNSAID)).rejects.toEqual(rejection('conflict'));
    await expect(hand().skip(CALLER, { runId: RUN, actionId: 'nobody' }, UNSAID)).rejects.toEqual(
      rejection('unknown_action'),
    );
    await expect(hand().complete(CALLER, { runId: RUN, actionId: 'b' }, 'x'.repeat(2_000), UNSAID)).rejects.toEqual(
      rejection('output_too_large'),
    );
    await expect(hand().skip({ ...CALLER, tenantId: 'other' }, { runId: RUN, actionId: 'b' }, UNSAID)).rejects.toEqual(
      rejection('not_found'),
    );
    await engine.store.runs.requestCancel('t', RUN, undefined);
    await expect(hand().skip(CALLER, { runId: RUN, actionId: 'b' }, UNSAID)).rejects.toEqual(rejection('conflict'));
    await finish(engine);
    await expect(hand().skip(CALLER, { runId: RUN, actionId: 'b' }, UNSAID)).rejects.toEqual(
      rejection('already_final'),
    );
  });
});

test('an action settled manually is not acknowledged before what it waits for has ended, although its job was released', async () => {
  const { engine, hand } = await controlled(CHAIN);
  const lease = engine.take('a');
  await hand().skip(CALLER, { runId: RUN, actionId: 'b' }, UNSAID);
  // BullMQ has given up the job of `a`, which somebody is still at.
  expect(await engine.deliverByHand('b')).toMatchObject({ job: 'delay' });
  expect([...engine.store.due]).toContain(RUN);
  expect(engine.run()?.final).toBe(false);
  engine.queue.end(lease, await engine.work(lease));
  await finish(engine);
});
