import { describe, expect, test } from 'vitest';
import type { Action } from '../../src/domain/definition.ts';
import { makePlan } from '../../src/domain/plan.ts';
import { readyToUndo, toUndo, undoId, undoOf } from '../../src/domain/saga.ts';
import { createRetryRuns } from '../../src/engine/retry-run.ts';
import { DIAMOND, definitionOf, type Edges } from '../support/dags.ts';
import { begun, type FakeEngine, failure, output, RUN, tries } from '../support/fake-engine.ts';

const CALLER = { tenantId: 't', userId: 'u', correlationId: undefined, traceId: '0'.repeat(32) };
const undo = (config: object = {}): Partial<Action> => ({
  ...tries(1),
  compensate: { action_type: 'test_task', config: { ...config }, timeout_seconds: 10, ...tries(1) },
});
const order = ({ calls }: FakeEngine) => calls.map(({ actionId }) => actionId);

describe('what is undone', () => {
  const plan = makePlan(definitionOf(DIAMOND, (id) => (id === 'c' ? {} : undo())));
  const ids = (planned: { action: { action_id: string } }[]) => planned.map(({ action }) => action.action_id);

  test('is what completed and says how, the last first', () => {
    const status = (id: string) => (id === 'd' ? 'failed' : 'completed');
    expect(ids(toUndo(plan, status))).toEqual(['b', 'a']);
  });

  test('waits for what came after it, over steps that need no undoing', () => {
    const all = toUndo(plan, () => 'completed');
    const over = new Set<string>();
    const ready = () => ids(readyToUndo(plan, all, (id) => over.has(id)));
    expect(ready()).toEqual(['d']);
    over.add('d');
    expect(ready()).toEqual(['b']);
    over.add('b');
    expect(ready()).toEqual(['a']);
    over.add('a');
    expect(ready()).toEqual([]);
  });

  test('is found by its id, and nothing else is', () => {
    expect(undoOf(plan, undoId('a'))?.undoes?.action.action_id).toBe('a');
    expect([undoOf(plan, 'a'), undoOf(plan, undoId('c')), undoOf(plan, undoId('x'))]).toEqual([
      undefined,
      undefined,
      undefined,
    ]);
  });
});

describe('a saga', () => {
  test('that fails is undone in the reverse order, with the outputs that there were', async () => {
    const engine = await begun({ a: [], b: ['a'], c: ['b'] }, (id) =>
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
    const engine = await begun({ a: [], b: ['a'] }, () => undo());
    await engine.drain();
    expect(order(engine)).toEqual(['a', 'b']);
    expect(engine.run()).toMatchObject({ status: 'completed', final: true });
  });

  test('that has done nothing yet just fails', async () => {
    const engine = await begun({ a: [], b: ['a'] }, () => undo());
    engine.behaviours.set('a', () => failure('no'));
    await engine.drain();
    expect(engine.run()).toMatchObject({ status: 'failed', final: true });
  });

  test('that is cancelled is undone too, and what runs at that moment counts when it succeeds', async () => {
    const engine = await begun({ a: [], b: ['a'], c: ['b'] }, () => undo());
    await engine.deliver('a');
    engine.behaviours.set('b', async () => {
      await engine.store.runs.requestCancel('t', RUN, undefined);
      return output('done');
    });
    await engine.drain();
    expect(order(engine)).toEqual(['a', 'b', 'b~undo', 'a~undo']);
    expect(engine.run()).toMatchObject({ status: 'compensated', final: true });
  });

  test('an undoing has attempts of its own; when the last one fails the others are done all the same, and a retry goes on', async () => {
    const engine = await begun({ a: [], b: ['a'], c: ['b'] }, (id) => (id === 'c' ? tries(1) : undo()));
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
  ])('%s whose finalizer dies after it has written down what is to be undone goes on', async (_, edges) => {
    const engine = await begun(edges, (id) => (id === 'c' ? tries(1) : undo()));
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
