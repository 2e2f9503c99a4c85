import { describe, expect, test } from 'vitest';
import type { Action } from '../../../../src/domain/definition/definition.ts';
import { makePlan } from '../../../../src/domain/graph/plan.ts';
import {
  actionsToCompensate,
  compensationId,
  compensationOf,
  readyToCompensate,
} from '../../../../src/domain/runs/saga.ts';
import { createEndReplaced } from '../../../../src/engine/accept/run-concurrency.ts';
import { createCancelRuns } from '../../../../src/engine/control/cancel-run.ts';
import { createRetryRuns } from '../../../../src/engine/control/retry-run.ts';
import type { ExecutionResult } from '../../../../src/engine/ports/executor.ts';
import { endOverdue } from '../../../../src/engine/recover/end-overdue.ts';
import { DIAMOND, definitionOf, type Edges } from '../../../harness/dags.ts';
import {
  type FakeEngine,
  failure,
  output,
  RUN,
  startedEngine,
  tries,
  WORKFLOW,
} from '../../../harness/fakes/engine.ts';

const CALLER = { tenantId: 't', userId: 'u', correlationId: undefined, traceId: '0'.repeat(32) };
const undo = (config: object = {}): Partial<Action> => ({
  ...tries(1),
  compensate: { action_type: 'test_task', config: { ...config }, timeout_seconds: 10, ...tries(1) },
});
const order = ({ calls }: FakeEngine) => calls.map(({ actionId }) => actionId);

describe('what is compensated', () => {
  const plan = makePlan(definitionOf(DIAMOND, (id) => (id === 'c' ? {} : undo())));
  const ids = (planned: { action: { action_id: string } }[]) => planned.map(({ action }) => action.action_id);

  test('is what completed and says how, the last first', () => {
    const effect = (id: string) => ({ status: id === 'd' ? 'failed' : 'completed', effectUnknown: false });
    expect(ids(actionsToCompensate(plan, effect))).toEqual(['b', 'a']);
  });

  test('is what may have happened too: nobody knows how it ended', () => {
    const effect = (id: string) => ({ status: 'failed', effectUnknown: id === 'd' || id === 'c' });
    expect(ids(actionsToCompensate(plan, effect))).toEqual(['d']);
    expect(ids(actionsToCompensate(plan, () => undefined))).toEqual([]);
  });

  test('waits for what came after it, over steps that need no compensation', () => {
    const all = actionsToCompensate(plan, () => ({ status: 'completed', effectUnknown: false }));
    const over = new Set<string>();
    const ready = () => ids(readyToCompensate(plan, all, (id) => over.has(id)));
    expect(ready()).toEqual(['d']);
    over.add('d');
    expect(ready()).toEqual(['b']);
    over.add('b');
    expect(ready()).toEqual(['a']);
    over.add('a');
    expect(ready()).toEqual([]);
  });

  test('is found by its id, and nothing else is', () => {
    expect(compensationOf(plan, compensationId('a'))?.compensates?.action.action_id).toBe('a');
    expect([
      compensationOf(plan, 'a'),
      compensationOf(plan, compensationId('c')),
      compensationOf(plan, compensationId('x')),
    ]).toEqual([undefined, undefined, undefined]);
  });
});

describe('a saga', () => {
  test('that fails is compensated in the reverse order, with the outputs that there were', async () => {
    const engine = await startedEngine({ a: [], b: ['a'], c: ['b'] }, (id) =>
      id === 'c' ? tries(1) : undo({ what: `{{${id}.from}}` }),
    );
    engine.behaviours.set('c', () => failure('no'));
    await engine.drain();
    expect(order(engine)).toEqual(['a', 'b', 'c', 'b~undo', 'a~undo']);
    expect(engine.calls.slice(3).map(({ input }) => input)).toEqual([{ what: 'b' }, { what: 'a' }]);
    expect(engine.run()).toMatchObject({ status: 'compensated', final: true, output: null });
    expect(JSON.parse(engine.run()?.error ?? 'null')).toMatchObject({ message: 'no', action_id: 'c' });
    const told = engine.store.truth.events.filter(({ actionId }) => actionId === null).map(({ kind }) => kind);
    expect(told).toEqual(['run.compensating', 'run.compensated']);
    expect([engine.queue.open(), engine.queue.violations]).toEqual([[], []]);
  });

  test('that completes is not', async () => {
    const engine = await startedEngine({ a: [], b: ['a'] }, () => undo());
    await engine.drain();
    expect(order(engine)).toEqual(['a', 'b']);
    expect(engine.run()).toMatchObject({ status: 'completed', final: true });
  });

  test('that has done nothing yet just fails', async () => {
    const engine = await startedEngine({ a: [], b: ['a'] }, () => undo());
    engine.behaviours.set('a', () => failure('no'));
    await engine.drain();
    expect(engine.run()).toMatchObject({ status: 'failed', final: true });
  });

  test('that is cancelled is compensated too, and what runs at that moment counts when it succeeds', async () => {
    const engine = await startedEngine({ a: [], b: ['a'], c: ['b'] }, () => undo());
    await engine.deliver('a');
    engine.behaviours.set('b', async () => {
      await engine.store.runs.requestCancel('t', RUN, undefined);
      return output('done');
    });
    await engine.drain();
    expect(order(engine)).toEqual(['a', 'b', 'b~undo', 'a~undo']);
    expect(engine.run()).toMatchObject({ status: 'compensated', final: true });
  });

  test.each<[string, (engine: FakeEngine) => Promise<unknown>]>([
    ['cancelled', ({ deps, store }) => createCancelRuns({ ...deps, ...store }).cancelRun(CALLER, RUN, undefined)],
    [
      'replaced',
      async ({ deps, store }) => {
        await store.runs.requestCancel('t', RUN, undefined);
        await createEndReplaced({ ...deps, ...store })([{ id: RUN, epoch: 1, of: WORKFLOW, notStarted: true }]);
      },
    ],
    [
      'overdue',
      async ({ deps, store }) => {
        store.overdue.add(RUN);
        await endOverdue({ ...deps, ...store });
      },
    ],
  ])('that is %s while what runs has no row yet is undone all the same', async (_, end) => {
    const engine = await startedEngine({ a: [], b: ['a'] }, () => undo());
    const run = engine.run();
    // Its mark as queued is late too.
    if (run !== undefined) run.status = 'pending';
    engine.behaviours.set('a', async () => {
      await end(engine);
      return output('done');
    });
    await engine.drain();
    expect(order(engine)).toEqual(['a', 'a~undo']);
    expect(engine.run()).toMatchObject({ status: 'compensated', final: true });
    expect(engine.queue.open()).toEqual([]);
  });

  test.each<[string, ExecutionResult]>([
    ['took too long', failure('late', false, 'timeout')],
    ['said nothing for too long', failure('silent', false, 'heartbeat_timeout')],
    ['ended its worker', failure('crashed', false, 'worker_crashed')],
    ['gave too much', output('x'.repeat(2_000))],
    [
      'gave what does not fit',
      {
        result: 'failure',
        failure: { code: 'adapter_failed', message: 'unfit', retryable: false, effectUnknown: true },
      },
    ],
  ])('whose action %s undoes it as well, with its idempotency key', async (_, ends) => {
    const engine = await startedEngine({ a: [], b: ['a'] }, (id) =>
      undo({ what: `{{${id}}}`, key: '{{compensates.idempotency_key}}', effect: '{{compensates.effect}}' }),
    );
    engine.behaviours.set('b', () => ends);
    await engine.drain();
    expect(order(engine)).toEqual(['a', 'b', 'b~undo', 'a~undo']);
    expect(engine.calls.slice(2).map(({ input, compensates }) => [input, compensates?.idempotency_key])).toEqual([
      [{ what: null, key: 'run.1.b', effect: 'unknown' }, 'run.1.b'],
      [{ what: { from: 'a' }, key: 'run.1.a', effect: 'completed' }, 'run.1.a'],
    ]);
    expect(engine.run()).toMatchObject({ status: 'compensated', final: true });
  });

  test('does not compensate what is known not to have happened, unless an attempt before it may have', async () => {
    const outcomes = [failure('late', true, 'timeout'), failure('no', false)];
    for (const first of [0, 1]) {
      const engine = await startedEngine({ a: [] }, () => ({ ...undo(), ...tries(2) }));
      const left = outcomes.slice(first);
      engine.behaviours.set('a', () => left.shift() ?? failure('more'));
      await engine.drain();
      expect(engine.run()?.status).toBe(first === 0 ? 'compensated' : 'failed');
    }
  });

  test('that is cancelled while its action runs compensates that as well, unless it is known not to have happened', async () => {
    for (const definite of [false, true]) {
      const engine = await startedEngine({ a: [] }, () => undo());
      engine.behaviours.set('a', async () => {
        await engine.store.runs.requestCancel('t', RUN, undefined);
        engine.cancel();
        return { result: 'failure', failure: { code: 'declined', message: 'no', retryable: false, definite } };
      });
      await engine.drain();
      expect(order(engine)).toEqual(definite ? ['a'] : ['a', 'a~undo']);
      expect(engine.run()?.status).toBe(definite ? 'cancelled' : 'compensated');
    }
  });

  test('that is cancelled while the worker of its action is gone undoes that as well', async () => {
    const engine = await startedEngine({ a: [] }, () => undo());
    engine.take('a');
    for (const job of engine.queue.open().filter(({ state }) => state === 'active')) engine.queue.stall(job);
    await engine.store.runs.requestCancel('t', RUN, undefined);
    await engine.drain();
    expect(order(engine)).toEqual(['a~undo']);
    expect(engine.run()?.status).toBe('compensated');
  });

  test('ends as compensation_failed, and says why, where its compensation needs what nobody knows', async () => {
    const engine = await startedEngine({ a: [] }, () => undo({ path: '/orders/{{a.id}}' }));
    engine.behaviours.set('a', () => failure('late', false, 'timeout'));
    await engine.drain();
    expect(order(engine)).toEqual(['a']);
    expect(engine.run()).toMatchObject({ status: 'compensation_failed', final: true });
    expect(engine.errorOf('a~undo')).toMatchObject({
      code: 'effect_unknown',
      message: expect.stringMatching(/nobody knows what 'a' has brought about.*path of its compensation/),
    });
  });

  test('a compensation has attempts of its own; when the last one fails the others are done all the same, and a retry goes on', async () => {
    const engine = await startedEngine({ a: [], b: ['a'], c: ['b'] }, (id) => (id === 'c' ? tries(1) : undo()));
    engine.behaviours.set('c', () => failure('no'));
    engine.behaviours.set('b~undo', () => failure('stuck', false));
    await engine.drain();
    expect(order(engine)).toEqual(['a', 'b', 'c', 'b~undo', 'a~undo']);
    expect(engine.run()).toMatchObject({ status: 'compensation_failed', final: true });

    engine.behaviours.delete('b~undo');
    const retry = createRetryRuns({ ...engine.deps, ...engine.store, window: 10 });
    expect(await retry.retryRun(CALLER, RUN)).toMatchObject({ status: 'compensating', epoch: 2 });
    await engine.drain();
    expect(order(engine).slice(5)).toEqual(['b~undo']);
    expect(engine.run()).toMatchObject({ status: 'compensated', final: true, epoch: 2 });
    expect(engine.queue.open()).toEqual([]);
  });

  test.each<[string, Edges]>([
    ['with one end', { a: [], b: ['a'], c: ['b'] }],
    ['with several', { a: [], b: ['a'], c: ['a'] }],
  ])('%s whose finalizer dies after it has written down what is to be compensated goes on', async (_, edges) => {
    const engine = await startedEngine(edges, (id) => (id === 'c' ? tries(1) : undo()));
    engine.behaviours.set('c', () => failure('no'));
    for (const id of ['a', 'b', 'c']) await engine.deliver(id);
    engine.deps.failpoint = async (name) => {
      if (name === 'saga.afterBegin') throw new Error('killed');
    };
    await expect(engine.work(engine.take(null))).rejects.toThrow('killed');
    engine.deps.failpoint = async () => undefined;
    const job = engine.queue.jobs().find(({ node }) => node.name === 'finalize');
    if (job !== undefined) engine.queue.stall(job);
    await engine.drain();
    expect(order(engine).slice(3)).toEqual(['b~undo', 'a~undo']);
    expect(engine.run()).toMatchObject({ status: 'compensated', final: true });
  });
});
