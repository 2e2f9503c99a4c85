/** A task that waits for something outside, and whoever wakes it, at every step that the two can meet in. */
import { describe, expect, test } from 'vitest';
import { createFairness } from '../../../../src/engine/accept/fairness.ts';
import { wakeTasks } from '../../../../src/engine/deliver/wake-tasks.ts';
import { reconcileOnce } from '../../../../src/engine/recover/reconcile.ts';
import { type FakeEngine, NOW, output, RUN, startedEngine } from '../../../harness/fakes/engine.ts';

const A = [{ actionId: 'a', actionType: 'test_task' }];
const wake = ({ store, queue, log }: FakeEngine) =>
  wakeTasks({ tasks: store.tasks, queue, log }, { id: RUN, epoch: 1 }, A);

/** Action `a` waits until `happened()`. */
async function waiting(until?: Date) {
  const engine = await startedEngine({ a: [] });
  let happened = false;
  engine.behaviours.set('a', () => (happened ? output('done') : { result: 'park', until }));
  return {
    engine,
    happen: () => {
      happened = true;
    },
  };
}

describe('a task that waits for something outside', () => {
  test('is asleep until its deadline, or checks again after a day, and no attempt is counted', async () => {
    const deadline = new Date(NOW + 60_000);
    for (const [until, untilMs] of [
      [deadline, NOW + 60_000],
      [undefined, NOW + 24 * 3_600_000],
    ] as const) {
      const { engine } = await waiting(until);
      expect(await engine.deliver('a')).toMatchObject({ job: 'delay', untilMs });
      expect(engine.row('a')).toMatchObject({ status: 'waiting', final: false, endedAttempt: 0, nextDelivery: 2 });
      expect(engine.row('a')?.wakeAt).toEqual(until ?? null);
    }
  });

  test('that is woken checks again, with the token it has', async () => {
    const { engine, happen } = await waiting();
    await engine.deliver('a');
    happen();
    await wake(engine);
    expect(await engine.deliver('a')).toEqual({ job: 'complete' });
    expect(engine.row('a')).toMatchObject({ status: 'completed', attempt: 1, fence: 1, wakes: 1 });
    expect(engine.run()).toMatchObject({ status: 'completed', final: true });
  });

  test('that was woken before its job was moved is due already', async () => {
    const { engine, happen } = await waiting();
    const lease = engine.take('a');
    const disposition = await engine.work(lease);
    happen();
    await wake(engine);
    expect(disposition.job === 'delay' && (await disposition.dueAlready?.())).toBe(true);
  });

  test('that was not woken is not', async () => {
    const { engine } = await waiting();
    const disposition = await engine.deliver('a');
    expect(disposition.job === 'delay' && (await disposition.dueAlready?.())).toBe(false);
  });

  test('that was woken before it started knows of it, and waits for the next wake only', async () => {
    const { engine } = await waiting();
    await wake(engine);
    expect(engine.row('a')).toMatchObject({ status: 'pending', wakes: 1 });
    const first = await engine.deliver('a');
    expect(first.job === 'delay' && (await first.dueAlready?.())).toBe(false);
    expect(engine.row('a')).toMatchObject({ fence: 1, wakes: 1, wakesSeen: 1 });
    await wake(engine);
    expect(first.job === 'delay' && (await first.dueAlready?.())).toBe(true);
  });

  test('whose waker died before it made the job due is found by the reconciler', async () => {
    const { engine, happen } = await waiting();
    await engine.deliver('a');
    happen();
    await engine.store.tasks.wake(RUN, A);
    const promoted: string[] = [];
    const queue = {
      ...engine.queue,
      promote: async (jobs: ReadonlyArray<{ jobId: string }>) => void promoted.push(...jobs.map(({ jobId }) => jobId)),
    };
    const pass = () => {
      engine.store.due.add(RUN);
      return reconcileOnce({
        ...engine.deps,
        queue,
        runs: engine.store.runs,
        reconcile: engine.store.reconcile,
        window: 10,
        fairness: createFairness(() => 1),
        checkEveryMs: 30_000,
        suspects: new Map(),
        queueUse: async () => undefined,
      });
    };
    await pass();
    expect(promoted).toEqual(['run.1.a']);
    await engine.deliver('a');
    await pass();
    expect(promoted).toEqual(['run.1.a']);
  });

  test('that is final is not woken, and neither is one of a run that has ended', async () => {
    const { engine, happen } = await waiting();
    happen();
    await engine.deliver('a');
    await wake(engine);
    expect(engine.row('a')).toMatchObject({ status: 'completed', wakes: 0 });
  });

  test('is woken although the queue cannot be reached: the reconciler does the rest', async () => {
    const { engine } = await waiting();
    await engine.deliver('a');
    const queue = { promote: () => Promise.reject(new Error('no connection')) };
    await wakeTasks({ tasks: engine.store.tasks, queue, log: engine.log }, { id: RUN, epoch: 1 }, A);
    expect(engine.row('a')?.wakes).toBe(1);
    expect(engine.log.lines.map(({ event }) => event)).toContain('tasks_not_promoted');
  });
});
