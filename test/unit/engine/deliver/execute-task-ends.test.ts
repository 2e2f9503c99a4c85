import { describe, expect, test } from 'vitest';
import { executeTask, settleLostJob } from '../../../../src/engine/deliver/execute-task.ts';
import { DIAMOND, type Edges } from '../../../harness/dags.ts';
import { failure, output, RUN, startedEngine, tries } from '../../../harness/fakes/engine.ts';

const CHAIN: Edges = { a: [], b: ['a'] };

describe('cancellation', () => {
  test('a running task ends as cancelled, what follows too, and the last one ends the run', async () => {
    const engine = await startedEngine(CHAIN);
    engine.behaviours.set('a', async () => {
      await engine.store.runs.requestCancel('t', RUN, 'enough');
      engine.cancel();
      return new Promise(() => undefined);
    });
    expect(await engine.deliver('a')).toEqual({ job: 'complete' });
    await engine.drain();
    expect([engine.row('a')?.status, engine.row('b')?.status]).toEqual(['cancelled', 'cancelled']);
    expect(engine.run()).toMatchObject({ status: 'cancelled', final: true, output: null });
    expect(engine.calls).toHaveLength(1);
  });

  test('a success that comes in time still counts', async () => {
    const engine = await startedEngine(CHAIN);
    engine.behaviours.set('a', async () => {
      await engine.store.runs.requestCancel('t', RUN, 'enough');
      return output('done all the same');
    });
    await engine.drain();
    expect([engine.row('a')?.status, engine.row('b')?.status]).toEqual(['completed', 'cancelled']);
    expect(engine.run()?.status).toBe('cancelled');
  });
});

describe('a delivery whose job may not be ours any more', () => {
  const lost = { trust: { isTrusted: () => false, onLost: () => undefined } };
  test.each([
    ['a failure for good', () => failure('no', false)],
    ['a failure that is tried again', () => failure('no', true)],
    ['a sleep', () => ({ result: 'sleep', until: new Date(1e12) }) as const],
    ['an output that cannot be stored', () => output(Number.NaN)],
  ])('leaves %s to whoever has the job now: no row, and the job is not touched', async (_, behaviour) => {
    const engine = await startedEngine(CHAIN);
    engine.behaviours.set('a', behaviour);
    expect(await engine.deliverByHand('a', lost)).toEqual({ job: 'leave' });
    expect(engine.row('a')).toBeUndefined();
    expect(engine.queue.job('test_task', 'run.1.a')?.state).toBe('waiting');
  });

  test('commits its success: the effect has happened', async () => {
    const engine = await startedEngine(CHAIN);
    expect(await engine.deliverByHand('a', lost)).toEqual({ job: 'complete' });
    expect(engine.row('a')).toMatchObject({ status: 'completed', final: true });
  });
});

describe('a job that BullMQ has given up', () => {
  test('ends its task at once and releases what waits for it', async () => {
    const engine = await startedEngine(DIAMOND);
    const lease = engine.take('a');
    await settleLostJob(engine.deps, lease.delivery, 'job stalled more than allowable limit');
    expect(engine.errorOf('a')).toMatchObject({
      code: 'worker_crashed',
      message: 'job stalled more than allowable limit',
    });
    expect(engine.row('a')).toMatchObject({ status: 'failed', final: true, fence: 2 });
    await engine.drain();
    expect(engine.run()).toMatchObject({ status: 'failed', final: true });
  });

  test('and whose task has ended meanwhile is left alone', async () => {
    const engine = await startedEngine({ a: [] });
    const lease = engine.take('a');
    await engine.work(lease);
    await settleLostJob(engine.deps, lease.delivery, 'stalled');
    expect(engine.row('a')).toMatchObject({ status: 'completed' });
  });

  test('and that was released too early waits for what it depends on', async () => {
    const engine = await startedEngine(CHAIN);
    await settleLostJob(
      engine.deps,
      {
        ...engine.take('a').delivery,
        data: { v: 1, run_id: RUN, epoch: 1, gen: 0, action_id: 'b', of: { workflow_id: 'workflow', version: 1 } },
      },
      'stalled',
    );
    expect(engine.row('b')).toBeUndefined();
    expect(engine.run()?.final).toBe(false);
    expect([...engine.store.due]).toEqual([RUN]);
  });

  test('gives the run the outputs that it names, where the failure was tolerated', async () => {
    const engine = await startedEngine(CHAIN, (id) => (id === 'b' ? { on_failure: 'continue' } : {}), {
      output: { first: '{{a.from}}' },
    });
    await engine.deliver('a');
    await settleLostJob(engine.deps, engine.take('b').delivery, 'stalled');
    expect(engine.run()).toMatchObject({ status: 'completed', output: '{"first":"a"}' });
  });
});

describe('the finalizer', () => {
  test('ends the run only when every action is final', async () => {
    const engine = await startedEngine({ x: [], y: [] });
    await engine.deliver('x');
    const finalizer = engine.queue.jobs().find(({ queue }) => queue === 'runs');
    if (finalizer === undefined) throw new Error('no finalizer');
    expect(await engine.work(engine.queue.take(finalizer))).toMatchObject({ job: 'delay' });
    expect(engine.run()?.final).toBe(false);
    expect([...engine.store.due]).toEqual([RUN]);
  });

  test('ends a run with a failure as failed, and a cancelled one as cancelled', async () => {
    const failing = await startedEngine({ x: [], y: [] }, () => tries(1));
    failing.behaviours.set('y', () => failure('no'));
    await failing.drain();
    expect(failing.run()).toMatchObject({ status: 'failed', error: failing.row('y')?.error });
    const cancelled = await startedEngine({ x: [], y: [] });
    await cancelled.store.runs.requestCancel('t', RUN, undefined);
    await cancelled.drain();
    expect(cancelled.run()).toMatchObject({ status: 'cancelled', output: null, error: null });
  });
});

test('a worker that may have lost its job adds the next flow as what is added again', async () => {
  for (const [holds, gen] of [
    [true, 0],
    [false, 1],
  ] as const) {
    const engine = await startedEngine(DIAMOND);
    const lease = engine.take('a');
    const trust = { isTrusted: () => holds, onLost: () => undefined };
    engine.queue.end(lease, await executeTask(engine.deps, { ...lease.delivery, trust }));
    expect(engine.row('a')).toMatchObject({ status: 'completed' });
    expect(engine.queue.job('test_task', 'run.1.b')?.node.data?.gen).toBe(gen);
  }
});
