/** A task that waits for a run that it started, and who wakes it when that has ended; on hand-written ports. */
import { describe, expect, test } from 'vitest';
import { createFairness } from '../../../../src/engine/accept/fairness.ts';
import { endRun } from '../../../../src/engine/control/end-run.ts';
import { executeTask } from '../../../../src/engine/deliver/execute-task.ts';
import type { ChildStore } from '../../../../src/engine/ports/children.ts';
import type { RunStore } from '../../../../src/engine/ports/runs.ts';
import { reconcileOnce } from '../../../../src/engine/recover/reconcile.ts';
import { type FakeEngine, output, RUN, startedEngine, WORKFLOW } from '../../../harness/fakes/engine.ts';
import { NO_CHILDREN } from '../../../harness/fakes/no-children.ts';

const CHILD = { id: 'child', epoch: 1 };
const PARENT = { runId: RUN, epoch: 1, actionId: 'a' };

/** Run of one action of the type `workflow` that sleeps until its child has ended. */
async function waiting(children: Partial<ChildStore>): Promise<FakeEngine> {
  const engine = await startedEngine({ a: [] }, () => ({ action_type: 'workflow' }));
  engine.behaviours.set('a', () => ({ result: 'park', until: undefined }));
  Object.assign(engine.deps, { children: { ...NO_CHILDREN, ...children } });
  await engine.deliver('a');
  return engine;
}

const ending = ({ store }: FakeEngine, ended: boolean): Pick<RunStore, 'endAbnormally'> => ({
  ...store.runs,
  endAbnormally: async () => ended,
});

async function reconcile(engine: FakeEngine): Promise<void> {
  engine.store.due.add(RUN);
  await reconcileOnce({
    ...engine.deps,
    runs: engine.store.runs,
    reconcile: engine.store.reconcile,
    window: 10,
    fairness: createFairness(() => 1),
    checkEveryMs: 30_000,
    suspects: new Map(),
    queueUse: async () => undefined,
  });
}

describe('the end of a child', () => {
  test('wakes the task that waits, whoever ended it', async () => {
    const engine = await waiting({ parentOf: async () => PARENT });
    const plan = await engine.deps.plans.of(WORKFLOW);
    await endRun({ ...engine.deps, runs: ending(engine, true) }, CHILD, plan);
    expect(engine.row('a')).toMatchObject({ status: 'waiting', wakes: 1 });
    await endRun({ ...engine.deps, runs: ending(engine, false) }, CHILD, plan);
    expect(engine.row('a')?.wakes).toBe(1);
  });

  test('is found by the reconciler when whoever ended it died before the wake', async () => {
    let ended: string[] = [];
    const engine = await waiting({ tasksOfEnded: async () => ended });
    await reconcile(engine);
    expect(engine.row('a')?.wakes).toBe(0);
    ended = ['a'];
    await reconcile(engine);
    expect(engine.row('a')?.wakes).toBe(1);
    engine.behaviours.set('a', () => output('done'));
    await engine.deliver('a');
    expect(engine.run()).toMatchObject({ status: 'completed' });
  });

  test('is woken once more by the job of the child that comes again', async () => {
    const parents: string[] = [];
    const parentOf = async (id: string) => {
      parents.push(id);
      return undefined;
    };
    const engine = await startedEngine({ a: [] });
    Object.assign(engine.deps, { children: { ...NO_CHILDREN, parentOf } });
    Object.assign(engine.run() ?? {}, { awaited: true });
    const lease = engine.take('a');
    await engine.work(lease);
    expect(parents).toEqual([RUN]);
    await executeTask(engine.deps, { ...lease.delivery, attemptsStarted: 2, stalledCounter: 1 });
    expect(parents).toEqual([RUN, RUN]);
  });

  test('of which nobody waits reads nothing', async () => {
    const engine = await startedEngine({ a: [] });
    // NO_CHILDREN would throw for anything but what is read for every run.
    Object.assign(engine.deps, { children: { ...NO_CHILDREN, parentOf: () => Promise.reject(new Error('read')) } });
    await engine.deliver('a');
    expect(engine.run()).toMatchObject({ status: 'completed' });
  });
});

test('a task of a cancelled run cancels the run that it waits for, and ends after it', async () => {
  let open = ['child'];
  const parents: Array<string | undefined> = [];
  const engine = await waiting({
    openOf: async (_run, actionId) => {
      parents.push(actionId);
      return open;
    },
  });
  const cancelled: string[] = [];
  Object.assign(engine.deps, {
    cancelRun: async (_caller: unknown, id: string) => {
      cancelled.push(id);
      return 'cancelling';
    },
  });
  await engine.store.runs.requestCancel('t', RUN, undefined, 'u');
  expect(await engine.deliver('a')).toMatchObject({ job: 'delay' });
  expect([cancelled, engine.row('a')?.status, engine.run()?.final]).toEqual([['child'], 'waiting', false]);
  expect(parents).toEqual(['a']);
  open = [];
  await engine.deliver('a');
  expect(engine.run()).toMatchObject({ status: 'cancelled', final: true });
});
