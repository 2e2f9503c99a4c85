import { describe, expect, test, vi } from 'vitest';
import type { QueueUse } from '../../../../src/domain/fairness/queue-room.ts';
import { createFairness } from '../../../../src/engine/accept/fairness.ts';
import { addAgain } from '../../../../src/engine/recover/add-again.ts';
import { type ReconcileDeps, reconcileOnce, repeatUntil } from '../../../../src/engine/recover/reconcile.ts';
import { DIAMOND, type Edges } from '../../../harness/dags.ts';
import { type FakeEngine, failure, RUN, startedEngine, tries, WORKFLOW } from '../../../harness/fakes/engine.ts';
import { rowOf } from '../../../harness/fakes/fence.ts';
import { outcome } from '../../../harness/outcomes.ts';

const GATED: Edges = { a: [], s: [], b: ['a'], c: ['a'], d: ['b', 'c', 's'] };

/** The reconciler beside a worker; `pass` checks the run whatever its time. */
async function reconciled(edges: Edges, window = 100, change?: Parameters<typeof startedEngine>[1]) {
  const engine = await startedEngine(edges, change);
  const deps: ReconcileDeps = {
    ...engine.deps,
    runs: engine.store.runs,
    reconcile: engine.store.reconcile,
    window,
    fairness: createFairness(() => 1),
    checkEveryMs: 30_000,
    suspects: new Map(),
    queueUse: async () => undefined,
  };
  const pass = () => {
    engine.store.due.add(RUN);
    return reconcileOnce(deps);
  };
  return { engine, deps, pass, events: () => engine.log.lines.map(({ event }) => event) };
}
const finish = async (engine: FakeEngine) => {
  await engine.drain();
  expect(engine.run()).toMatchObject({ final: true });
  expect([engine.queue.open(), engine.queue.gates(), engine.queue.violations]).toEqual([[], [], []]);
};
const executed = ({ calls }: FakeEngine) => calls.map(({ actionId }) => actionId).sort();

describe('the dispatcher', () => {
  test('adds runs that are committed and not in the queue, as far as there is room', async () => {
    const { engine, deps } = await reconciled(DIAMOND, 3);
    for (const id of ['p1', 'p2', 'p3']) engine.store.insert({ id, of: WORKFLOW });
    expect(await reconcileOnce(deps)).toEqual({ dispatched: 2, checked: 0, repaired: 0, heldBack: false });
    const statuses = ['p1', 'p2', 'p3'].map((id) => engine.store.truth.runs.get(id)?.status);
    expect(statuses).toEqual(['queued', 'queued', 'pending']);
    // It cannot know whether the API has added them: whoever takes these jobs claims.
    expect(engine.queue.job('test_task', 'p1.1.a')?.node.data?.gen).toBe(1);
  });

  test('adds nothing while the store of the queue is nearly full, and goes on when there is room again', async () => {
    const { engine, deps } = await reconciled(DIAMOND);
    engine.store.insert({ id: 'p1', of: WORKFLOW });
    // What has to be repaired would be added too.
    engine.queue.wipe();
    let use: QueueUse | undefined = { usedBytes: 95, maxBytes: 100 };
    const limited: ReconcileDeps = { ...deps, queueUse: async () => use };
    const pass = () => {
      engine.store.due.add(RUN);
      return reconcileOnce(limited);
    };
    for (let n = 0; n < 3; n += 1) expect(await pass()).toMatchObject({ dispatched: 0, repaired: 0, heldBack: true });
    expect(engine.queue.jobs()).toEqual([]);
    expect(engine.store.truth.runs.get('p1')?.status).toBe('pending');
    use = { usedBytes: 50, maxBytes: 100 };
    expect(await pass()).toMatchObject({ dispatched: 1, repaired: 1, heldBack: false });
    expect(engine.queue.job('test_task', 'p1.1.a')).toBeDefined();
    expect(engine.queue.job('test_task', 'run.1.a')).toBeDefined();
  });

  test('one that cannot be added does not prevent that of the others', async () => {
    const { engine, deps, events } = await reconciled(DIAMOND);
    engine.store.insert({ id: 'p1', of: { workflow_id: 'gone', version: 1 } });
    engine.store.insert({ id: 'p2', of: WORKFLOW });
    const { plans } = deps;
    deps.plans = {
      of: (of) =>
        'workflow_id' in of && of.workflow_id === 'gone'
          ? Promise.reject(new Error('its definition is gone'))
          : plans.of(of),
    };
    expect(await reconcileOnce(deps)).toMatchObject({ dispatched: 1 });
    expect(events()).toContain('run_not_swept');
  });

  test('a run that starts while it is added loses the gates that came back with it', async () => {
    const { engine, deps } = await reconciled(GATED);
    // The API had added it and could not say so: its first task ends while the dispatcher adds it once more.
    const run = engine.store.truth.runs.get(RUN);
    if (run !== undefined) run.status = 'pending';
    const { add } = deps.queue;
    let adds = 0;
    deps.queue.add = async (trees) => {
      adds += 1;
      if (adds === 1) for (const action of ['a', 's']) await engine.deliver(action);
      await add(trees);
    };
    await reconcileOnce(deps);
    expect(adds).toBe(2);
    deps.queue.add = add;
    await finish(engine);
    expect(executed(engine)).toEqual(['a', 'b', 'c', 'd', 's']);
  });

  test('a run that it takes once more is added on its own, less what is final', async () => {
    const { engine, deps } = await reconciled(DIAMOND);
    engine.store.insert({ id: 'p1', of: WORKFLOW });
    const { add } = deps.queue;
    deps.queue.add = async () => Promise.reject(new Error('the queue is away'));
    await expect(reconcileOnce(deps)).rejects.toThrow('the queue is away');
    deps.queue.add = add;
    const raised = vi.spyOn(engine.store.runs, 'statuses');
    expect(await reconcileOnce(deps)).toMatchObject({ dispatched: 1 });
    expect(raised).toHaveBeenCalledWith('p1');
    expect(engine.queue.job('test_task', 'p1.1.a')?.node.data?.gen).toBe(2);
  });

  test('while the queue does not answer nothing is done', async () => {
    const { engine, pass } = await reconciled(DIAMOND);
    engine.queue.down = true;
    await expect(pass()).rejects.toThrow();
    expect(engine.run()?.gen).toBe(0);
  });
});

describe('the reconciler', () => {
  test('leaves a healthy run alone, at every point of its way', async () => {
    const { engine, pass } = await reconciled({ ...DIAMOND, e: ['b'], f: ['d'] });
    for (let job = engine.queue.ready()[0]; job !== undefined; job = engine.queue.ready()[0]) {
      expect(await pass()).toMatchObject({ repaired: 0 });
      const lease = engine.queue.take(job);
      expect(await pass()).toMatchObject({ repaired: 0 });
      engine.queue.end(lease, await engine.work(lease));
    }
    expect(engine.run()).toMatchObject({ status: 'completed', gen: 0 });
  });

  test('adds what is left of a run again when it is missing twice', async () => {
    const { engine, pass } = await reconciled(DIAMOND);
    await engine.deliver('a');
    await engine.deliver('b');
    engine.queue.wipe();
    expect(await pass()).toMatchObject({ repaired: 0 });
    expect(engine.queue.jobs()).toEqual([]);
    expect(await pass()).toMatchObject({ repaired: 1 });
    expect(
      engine.queue
        .jobs()
        .map(({ node }) => node.name)
        .sort(),
    ).toEqual(['c', 'd']);
    expect(engine.run()?.gen).toBe(1);
    await finish(engine);
    expect(executed(engine)).toEqual(['a', 'b', 'c', 'd']);
  });

  test('what was only between a commit and the next flow is not added again', async () => {
    const { engine, pass } = await reconciled(DIAMOND);
    const lease = engine.take('a');
    const add = engine.queue.add;
    let sweptMeanwhile: unknown;
    vi.spyOn(engine.queue, 'add').mockImplementationOnce(async (runs) => {
      sweptMeanwhile = await pass();
      return add(runs);
    });
    engine.queue.end(lease, await engine.work(lease));
    expect(sweptMeanwhile).toMatchObject({ repaired: 0 });
    expect(await pass()).toMatchObject({ repaired: 0 });
    expect(engine.run()?.gen).toBe(0);
    await finish(engine);
  });

  test('another job that is missing the second time is a new suspect', async () => {
    const { engine, pass } = await reconciled(GATED);
    engine.queue.wipe();
    await pass();
    // One of the two that are ready is there by now.
    await engine.deliverByHand('a', { stalledCounter: 1 });
    expect(await pass()).toMatchObject({ repaired: 0 });
    expect(await pass()).toMatchObject({ repaired: 1 });
    await finish(engine);
  });

  test('frees what is blocked by the gate of a task that is final', async () => {
    const { engine, pass } = await reconciled(GATED);
    const lease = engine.take('a');
    const removal = vi.spyOn(engine.queue, 'removeGates').mockResolvedValueOnce();
    await engine.work(lease);
    engine.queue.end(lease, { job: 'complete' });
    removal.mockRestore();
    for (const id of ['s', 'b']) await engine.deliver(id);
    expect(engine.queue.ready()).toEqual([]);
    await pass();
    expect(await pass()).toMatchObject({ repaired: 1 });
    await finish(engine);
  });

  test('brings back a job that BullMQ has stored as failed although its task has no outcome', async () => {
    const { engine, pass } = await reconciled(DIAMOND);
    engine.queue.end(engine.take('a'), { job: 'fail', message: 'the database was away for long' });
    await pass();
    expect(await pass()).toMatchObject({ repaired: 1 });
    await finish(engine);
  });

  test('a definitive failure that is still stored does not hang what is added again above it', async () => {
    const { engine, deps } = await reconciled(DIAMOND, 100, (id) => (id === 'b' ? tries(1) : {}));
    engine.behaviours.set('b', () => failure('no'));
    await engine.deliver('a');
    await engine.deliver('b');
    const run = engine.run();
    if (run !== undefined) expect(await addAgain(deps, rowOf(run))).toBe(true);
    await finish(engine);
    expect(engine.run()?.status).toBe('failed');
  });

  test('wakes what is final and sleeps once more in a queue that has lost its newest writes', async () => {
    const { engine, pass } = await reconciled(DIAMOND);
    await engine.deliver('a');
    const lease = engine.take('b');
    await engine.work(lease);
    engine.queue.end(lease, { job: 'delay', untilMs: Number.MAX_SAFE_INTEGER });
    await engine.deliver('c');
    expect(await pass()).toMatchObject({ repaired: 0 });
    expect(await pass()).toMatchObject({ repaired: 1 });
    expect(engine.queue.job('test_task', `${RUN}.1.b`)?.state).toBe('waiting');
    await finish(engine);
    expect(executed(engine)).toEqual(['a', 'b', 'c', 'd']);
  });

  test('wakes a task that runs and sleeps in the queue, whose worker could not say what became of it', async () => {
    const { engine, pass, events } = await reconciled(DIAMOND);
    const lease = engine.take('a');
    await engine.store.tasks.markRunning(outcome({ runId: RUN, actionId: 'a' }));
    engine.queue.end(lease, { job: 'delay', untilMs: Number.MAX_SAFE_INTEGER });
    expect(await pass()).toMatchObject({ repaired: 0 });
    expect(engine.queue.job('test_task', `${RUN}.1.a`)?.state).toBe('delayed');
    expect(await pass()).toMatchObject({ repaired: 1 });
    expect(engine.queue.job('test_task', `${RUN}.1.a`)?.state).toBe('waiting');
    expect(events()).toContain('task_woken_again');
    expect(engine.run()?.gen).toBe(0);
    await finish(engine);
  });

  test('brings the finalizer back when it is all that is left', async () => {
    const { engine, pass } = await reconciled({ x: [], y: [] });
    await engine.deliver('x');
    await engine.deliver('y');
    engine.queue.wipe();
    await pass();
    expect(await pass()).toMatchObject({ repaired: 1 });
    await finish(engine);
  });

  test('after a wipe checks every run at once', async () => {
    const { engine, deps } = await reconciled(DIAMOND);
    expect(await reconcileOnce(deps)).toMatchObject({ checked: 0 });
    engine.queue.wipe();
    expect(await reconcileOnce(deps)).toMatchObject({ checked: 1 });
    expect(await reconcileOnce(deps)).toMatchObject({ repaired: 1 });
    await finish(engine);
  });

  test('ends a cancelled run in which nothing has moved for long, with a final row for every action', async () => {
    const { engine, pass } = await reconciled(DIAMOND);
    await engine.deliver('a');
    await engine.store.runs.requestCancel('t', RUN, undefined);
    const since = vi.spyOn(engine.store.reconcile, 'cancellingForMs').mockResolvedValue(1_000);
    expect(await pass()).toMatchObject({ repaired: 0 });
    since.mockResolvedValue(31_000);
    expect(await pass()).toMatchObject({ repaired: 1 });
    expect(engine.run()).toMatchObject({ status: 'cancelled', final: true });
    const states = ['a', 'b', 'c', 'd'].map((id) => engine.row(id)?.status);
    expect(states).toEqual(['completed', 'cancelled', 'cancelled', 'cancelled']);
    // Its jobs find the run final and are only acknowledged.
    await finish(engine);
    expect(executed(engine)).toEqual(['a']);
  });

  test('not while one of its tasks runs', async () => {
    const { engine, pass } = await reconciled(DIAMOND);
    await engine.store.tasks.claim({ runId: RUN, epoch: 1, actionId: 'a', actionType: 'test_task', worker: 'other' });
    await engine.store.runs.requestCancel('t', RUN, undefined);
    vi.spyOn(engine.store.reconcile, 'cancellingForMs').mockResolvedValue(31_000);
    await pass();
    expect(engine.run()?.final).toBe(false);
  });
});

describe('adding again', () => {
  test('under a task that runs, brings no gate back for what became final meanwhile', async () => {
    const { engine, deps } = await reconciled(GATED);
    const lease = engine.take('a');
    const run = engine.run();
    const add = engine.queue.add;
    vi.spyOn(engine.queue, 'add').mockImplementationOnce(async (runs) => {
      // Between the reading of the states and the add.
      engine.queue.end(lease, await engine.work(lease));
      return add(runs);
    });
    if (run !== undefined) await addAgain(deps, rowOf(run));
    expect(engine.queue.gates()).toEqual([]);
    await finish(engine);
    expect(executed(engine)).toEqual(['a', 'b', 'c', 'd', 's']);
  });

  test('of a run that is retried meanwhile leaves no gate of the epoch that is over', async () => {
    const { engine, deps } = await reconciled(GATED);
    const run = engine.run();
    if (run === undefined) throw new Error('no run');
    const stale = { ...run };
    const add = vi.spyOn(engine.queue, 'add').mockImplementationOnce(async () => {
      // Its jobs have ended, and what is added now brings a gate back.
      engine.store.truth.runs.set(RUN, { ...run, epoch: 2 });
    });
    expect(engine.queue.gates()).not.toEqual([]);
    await addAgain(deps, rowOf(stale), 1);
    expect(engine.queue.gates()).toEqual([]);
    expect(await addAgain(deps, rowOf(stale), 1)).toBe(false);
    expect(add).toHaveBeenCalledTimes(1);
  });

  test('of a run that has ended, or is in another epoch, adds nothing', async () => {
    const { engine, deps } = await reconciled(DIAMOND);
    await engine.drain();
    const run = engine.run();
    if (run === undefined) throw new Error('no run');
    const before = engine.queue.jobs().length;
    expect(await addAgain(deps, rowOf(run))).toBe(false);
    expect(await addAgain(deps, { ...rowOf(run), epoch: 2 })).toBe(false);
    expect(engine.queue.jobs()).toHaveLength(before);
  });
});

test('background work goes on after a fault and ends with its signal', async () => {
  vi.useFakeTimers();
  const stop = new AbortController();
  let passes = 0;
  const lines: string[] = [];
  const log = {
    debug: () => undefined,
    info: () => undefined,
    warn: (event: string) => void lines.push(event),
    error: () => undefined,
  };
  const loop = repeatUntil({ signal: stop.signal, log, random: () => 0.5 }, 1_000, 'work', async () => {
    passes += 1;
    if (passes === 1) throw new Error('away');
  });
  await vi.advanceTimersByTimeAsync(2_500);
  expect(passes).toBe(3);
  expect(lines).toEqual(['background_work_failed']);
  stop.abort();
  await loop;
  expect(vi.getTimerCount()).toBe(0);
  vi.useRealTimers();
});
