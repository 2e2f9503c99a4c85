import { describe, expect, test, vi } from 'vitest';
import { DIAMOND, type Edges } from '../../../harness/dags.ts';
import { type FakeEngine, failure, NOW, output, RUN, startedEngine, tries } from '../../../harness/fakes/engine.ts';
import { taskKey } from '../../../harness/fakes/fence.ts';

const CHAIN: Edges = { a: [], b: ['a'] };
const kinds = (engine: FakeEngine) =>
  engine.store.truth.events.map(({ kind, actionId }) => `${actionId ?? '-'} ${kind}`);

describe('a clean first delivery', () => {
  test('commits with one write: it claims nothing', async () => {
    const engine = await startedEngine(CHAIN);
    const claim = vi.spyOn(engine.deps.tasks, 'claim');
    expect(await engine.deliver('a')).toEqual({ job: 'complete' });
    expect(claim).not.toHaveBeenCalled();
    expect(engine.row('a')).toMatchObject({
      status: 'completed',
      final: true,
      attempt: 1,
      fence: 1,
      output: '{"from":"a"}',
    });
  });

  test('gives the adapter its input, its attempt and the key that it may send on', async () => {
    const engine = await startedEngine({ a: [] }, () => ({ config: { greeting: 'Hello {{name}}' } }));
    await engine.deliver('a');
    expect(engine.calls).toMatchObject([
      {
        actionType: 'test_task',
        actionId: 'a',
        input: { greeting: 'Hello Ada' },
        attempt: 1,
        idempotencyKey: 'run.1.a',
      },
    ]);
    expect(engine.row('a')?.input).toBe('{"greeting":"Hello Ada"}');
  });

  test('of the last action ends the run in the same statement, with the output of the run', async () => {
    const engine = await startedEngine(CHAIN, undefined, { output: { first: '{{a.from}}', all: '{{b}}' } });
    await engine.drain();
    expect(engine.run()).toMatchObject({ status: 'completed', final: true });
    expect(JSON.parse(engine.run()?.output ?? '')).toEqual({ first: 'a', all: { from: 'b' } });
    expect(kinds(engine)).toEqual(['a task.completed', 'b task.completed', '- run.completed']);
  });

  test('without a template the output of the run is that of its last actions, also of several', async () => {
    const engine = await startedEngine({ a: [], x: ['a'], y: ['a'] });
    await engine.drain();
    expect(engine.run()).toMatchObject({ status: 'completed' });
    expect(JSON.parse(engine.run()?.output ?? '')).toEqual({ x: { from: 'x' }, y: { from: 'y' } });
  });

  test('the next flow is added before the job ends, and nothing is left when all have ended', async () => {
    const engine = await startedEngine(DIAMOND);
    const lease = engine.take('a');
    await engine.work(lease);
    expect(engine.queue.job('test_task', 'run.1.b')?.state).toBe('waiting');
    expect(engine.queue.job('test_task', 'run.1.d')?.state).toBe('waiting-children');
    engine.queue.end(lease, { job: 'complete' });
    await engine.drain();
    expect(engine.calls.map(({ actionId }) => actionId).sort()).toEqual(['a', 'b', 'c', 'd']);
    expect([engine.queue.open(), engine.queue.violations]).toEqual([[], []]);
  });

  test('the gates of a task go when it is final, and release what they blocked', async () => {
    const engine = await startedEngine({ a: [], s: [], b: ['a'], c: ['a'], d: ['b', 'c', 's'] });
    expect(engine.queue.gates()).toEqual(['run.1.a.c']);
    await engine.deliver('a');
    expect(engine.queue.gates()).toEqual([]);
    expect(engine.queue.job('test_task', 'run.1.c')?.state).toBe('waiting');
  });
});

describe('a delivery that a fault of a store ends', () => {
  const FAULT = new Error('relation "external_task" does not exist');

  test('is no poison, however often that is: it costs no attempt, and one claim at most', async () => {
    const engine = await startedEngine({ a: [] });
    engine.deps.isPassing = (error) => error === FAULT;
    engine.behaviours.set('a', () => {
      if (engine.calls.length <= 15) throw FAULT;
      return output('done');
    });
    for (let n = 1; n <= 15; n += 1) {
      const lease = engine.take('a');
      await expect(engine.work(lease)).rejects.toBe(FAULT);
      engine.queue.end(lease, { job: 'delay', untilMs: NOW });
    }
    // The first had no row that could announce the second.
    expect(engine.row('a')).toMatchObject({ deliveries: 2, fence: 2, endedAttempt: 0, nextDelivery: 16 });
    expect(await engine.deliver('a')).toEqual({ job: 'complete' });
    expect(engine.row('a')).toMatchObject({ status: 'completed', attempt: 1, fence: 2 });
  });

  test('is distinguished from one that ends otherwise, which counts and is given up', async () => {
    const engine = await startedEngine({ a: [] });
    engine.deps.isPassing = () => false;
    engine.behaviours.set('a', () => {
      throw new TypeError('a fault of the service');
    });
    for (let n = 1; n <= 10; n += 1) {
      const lease = engine.take('a');
      await expect(engine.work(lease)).rejects.toThrow('a fault of the service');
      engine.queue.end(lease, { job: 'delay', untilMs: NOW });
    }
    expect(await engine.deliver('a')).toMatchObject({ job: 'fail' });
    expect(engine.errorOf('a')).toMatchObject({ code: 'worker_crashed' });
  });
});

describe('any other delivery', () => {
  test('claims a new token before it executes', async () => {
    const engine = await startedEngine({ a: [] });
    const claim = vi.spyOn(engine.deps.tasks, 'claim');
    engine.take('a');
    const job = engine.queue.jobs()[0];
    if (job !== undefined) engine.queue.stall(job);
    expect(await engine.deliver('a')).toEqual({ job: 'complete' });
    expect(claim).toHaveBeenCalledTimes(1);
    expect(engine.row('a')).toMatchObject({ status: 'completed', fence: 2 });
  });

  test.each([
    ['stalled before', { stalledCounter: 1 }, {}],
    ['was started more often than it was tried', { attemptsStarted: 2 }, {}],
    ['was added again', {}, { gen: 1 }],
  ])('claims when the job %s', async (_, counters, data) => {
    const engine = await startedEngine({ a: [] });
    await engine.deliverByHand('a', counters, data);
    expect(engine.row('a')?.fence).toBe(2);
  });

  test('claims when a row shows that another has started', async () => {
    const engine = await startedEngine({ a: [] });
    engine.behaviours.set('a', async (call) => {
      if (engine.calls.length > 1) return output('second');
      await engine.store.tasks.markRunning({
        runId: RUN,
        tenantId: 'default',
        epoch: 1,
        actionId: 'a',
        actionType: 'test_task',
        attempt: 1,
        fence: 1,
        effectUnknown: false,
        input: null,
        commitId: 'x',
        worker: 'worker',
        startedMono: 0,
        wakesSeen: 0,
      });
      // A queue that lost its newest writes delivers it once more, with the same counters.
      await engine.deliverByHand('a');
      return output(`first ${call.attempt}`);
    });
    await engine.deliverByHand('a');
    expect(engine.row('a')).toMatchObject({ fence: 2, output: '"second"' });
    expect(engine.store.truth.lateEffects).toMatchObject([{ actionId: 'a', output: '"first 1"' }]);
  });

  test('of a task that is final only acknowledges it: gates, next flow, and a plain return', async () => {
    const engine = await startedEngine(DIAMOND);
    const lease = engine.take('a');
    await engine.work(lease);
    // The worker died before it could end the job; the next flow is lost with the queue.
    engine.queue.wipe();
    expect(await engine.deliverByHand('a', { stalledCounter: 1 })).toEqual({ job: 'complete' });
    expect(engine.calls).toHaveLength(1);
    expect(engine.queue.job('test_task', 'run.1.b')?.node.data?.gen).toBe(1);
    expect(engine.run()?.gen).toBe(1);
  });

  test('of a failed task that is final is a plain return too: its failure is known', async () => {
    const engine = await startedEngine(CHAIN, () => tries(1));
    engine.behaviours.set('a', () => failure('no'));
    expect(await engine.deliver('a')).toMatchObject({ job: 'fail' });
    expect(await engine.deliverByHand('a', { stalledCounter: 1 })).toEqual({ job: 'complete' });
    expect(engine.calls).toHaveLength(1);
  });

  test('of another epoch, or of a run that is gone, touches nothing', async () => {
    const engine = await startedEngine({ a: [] });
    expect(await engine.deliverByHand('a', {}, { epoch: 2 })).toEqual({ job: 'complete' });
    expect(await engine.deliverByHand('a', {}, { run_id: 'gone' })).toEqual({ job: 'complete' });
    expect(engine.calls).toEqual([]);
    expect(engine.row('a')).toBeUndefined();
  });
});

describe('a task whose dependencies are not final', () => {
  test('comes back a second later, counts neither attempt nor delivery, and has the run checked', async () => {
    const engine = await startedEngine(CHAIN);
    expect(await engine.deliverByHand('b')).toEqual({ job: 'delay', untilMs: NOW + 1_000 });
    expect(engine.row('b')).toBeUndefined();
    expect([...engine.store.due]).toEqual([RUN]);
    expect(engine.calls).toEqual([]);
  });

  test('waits even when the run is being cancelled', async () => {
    const engine = await startedEngine(CHAIN);
    await engine.store.runs.requestCancel('t', RUN, undefined);
    expect(await engine.deliverByHand('b')).toMatchObject({ job: 'delay' });
    expect(engine.run()?.final).toBe(false);
  });
});

describe('a rejected commit', () => {
  /** While `a` executes, somebody else writes its row. */
  const overtaken = async (result: Parameters<typeof failure>[0] | 'success', change: object, action = {}) => {
    const engine = await startedEngine(CHAIN, () => ({ ...tries(1), ...action }));
    engine.behaviours.set('a', async () => {
      await engine.store.tasks.claim({ runId: RUN, epoch: 1, actionId: 'a', actionType: 'test_task', worker: 'other' });
      const key = taskKey(RUN, 'a');
      const task = engine.store.truth.tasks.get(key);
      if (task !== undefined) engine.store.truth.tasks.set(key, { ...task, ...change });
      return result === 'success' ? output('mine') : failure(result);
    });
    return engine;
  };

  test('of a task that is final by now is acknowledged', async () => {
    const engine = await overtaken('no', { status: 'completed', final: true, endedAttempt: 1 });
    expect(await engine.deliver('a')).toEqual({ job: 'complete' });
    expect(engine.row('a')).toMatchObject({ status: 'completed' });
  });

  test('of a task that is not final touches nothing: a newer holder is at work', async () => {
    const engine = await overtaken('no', {});
    const before = engine.queue.jobs().length;
    expect(await engine.deliver('a')).toEqual({ job: 'leave' });
    expect(engine.queue.job('test_task', 'run.1.a')?.state).toBe('active');
    expect(engine.queue.jobs()).toHaveLength(before);
    expect(engine.row('a')).toMatchObject({ status: 'running', worker: 'other' });
    expect(engine.store.truth.lateEffects).toEqual([]);
  });

  test('of a success is stored as a late effect', async () => {
    const engine = await overtaken('success', { endedAttempt: 1, attempt: 1, status: 'retrying' });
    expect(await engine.deliver('a')).toEqual({ job: 'leave' });
    expect(engine.store.truth.lateEffects).toMatchObject([
      { actionId: 'a', attempt: 1, output: '"mine"', compensation: null },
    ]);
  });

  test('of a success of an action with a compensation is to be compensated', async () => {
    const compensate = { action_type: 'notification', config: {}, timeout_seconds: 1, ...tries(1) };
    const engine = await overtaken('success', { endedAttempt: 1, attempt: 1, status: 'retrying' }, { compensate });
    expect(await engine.deliver('a')).toEqual({ job: 'leave' });
    expect(engine.store.truth.lateEffects).toMatchObject([{ actionId: 'a', compensation: 'due' }]);
  });

  test('a success is not rejected for a lost token: its effect has happened', async () => {
    const engine = await overtaken('success', {});
    expect(await engine.deliver('a')).toEqual({ job: 'complete' });
    expect(engine.row('a')).toMatchObject({ status: 'completed', output: '"mine"' });
  });
});
