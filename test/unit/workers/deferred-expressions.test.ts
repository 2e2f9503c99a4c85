/** An expression that gets no thread in time defers its task: in the same attempt, without a failure, and not for ever. */
import { describe, expect, test } from 'vitest';
import { OrchestratorError } from '../../../src/domain/errors.ts';
import { serviceCall } from '../../../workers/adapters/service-call.ts';
import { transform } from '../../../workers/adapters/transform.ts';
import { runAdapterIn } from '../../../workers/execution.ts';
import { type FakeEngine, NOW, output, startedEngine } from '../../harness/fakes/engine.ts';
import { startService } from '../../harness/services/service.ts';
import { adapterContext } from '../../support/adapter-context.ts';
import { runAdapter } from '../../support/run-adapter.ts';

const busy = () => new OrchestratorError('expressions_busy', 'The expression was not looked at: others come first');

/** Its expressions are evaluated from the `times`th on. */
function busyFor(engine: FakeEngine, times: number): void {
  let asked = 0;
  const { evaluate } = engine.deps.expressions;
  engine.deps.expressions = {
    async evaluate(...of) {
      asked += 1;
      if (asked <= times) throw busy();
      return evaluate(...of);
    },
  };
}

describe('a task whose expression is not evaluated in time', () => {
  // More often than a task may be delivered without an outcome.
  const TIMES = 14;

  test('goes back to the queue for longer and longer, as often as it takes, and then has its first attempt', async () => {
    const engine = await startedEngine({ a: [], b: ['a'] }, (id) => (id === 'a' ? { when: 'yes' } : {}));
    busyFor(engine, TIMES);
    for (let time = 0; time < TIMES; time += 1) {
      const seconds = [1, 2, 4, 8, 16][time] ?? 16;
      expect(await engine.deliver('a')).toMatchObject({ job: 'delay', untilMs: NOW + seconds * 1_000 });
      expect(engine.row('a')).toMatchObject({ status: 'waiting', final: false, endedAttempt: 0, deliveries: 1 });
    }
    expect(await engine.deliver('a')).toEqual({ job: 'complete' });
    expect(engine.row('a')).toMatchObject({ status: 'completed', attempt: 1 });
    expect(engine.calls).toHaveLength(1);
  });

  test.each([
    ['the list of a fan-out', { for_each: { items: 'list', on_item_failure: 'fail' as const } }],
    ['the end of a loop', { repeat: { until: 'yes', max_iterations: 3 } }],
  ])('is deferred for %s too', async (what, action) => {
    const engine = await startedEngine({ a: [] }, () => action);
    if (what.includes('loop')) {
      await engine.deliver('a');
      await engine.deliver('a[0]');
    }
    busyFor(engine, 1);
    const seconds = what.includes('loop') ? 2 : 1;
    expect(await engine.deliver('a')).toMatchObject({ job: 'delay', untilMs: NOW + seconds * 1_000 });
    expect(engine.row('a')).toMatchObject({ status: 'waiting', final: false });
  });

  test('keeps the time that its adapter sleeps until', async () => {
    const engine = await startedEngine({ a: [] });
    const until = new Date(NOW + 60_000);
    engine.behaviours.set('a', async ({ wakeAt }) => {
      if (wakeAt === undefined) return { result: 'sleep', until };
      return engine.calls.length === 2 ? { result: 'deferred' } : output(wakeAt.toISOString());
    });
    expect(await engine.deliver('a')).toMatchObject({ job: 'delay', untilMs: until.getTime() });
    expect(await engine.deliver('a')).toMatchObject({ job: 'delay', untilMs: NOW + 2_000 });
    expect(await engine.deliver('a')).toEqual({ job: 'complete' });
    expect(engine.row('a')?.output).toBe(JSON.stringify(until.toISOString()));
  });
});

describe('an adapter whose expression is not evaluated in time', () => {
  test('is deferred when it has done nothing yet', async () => {
    const { context, close } = adapterContext();
    const result = await runAdapterIn(
      transform,
      { expression: '1' },
      { ...context, evaluate: () => Promise.reject(busy()) },
    );
    expect(result).toEqual({ result: 'deferred' });
    await close();
  });

  test('waits for it when the service has been called, and calls it once', async () => {
    const service = await startService();
    const { context, close } = adapterContext({ services: { shop: service.url } });
    let asked = 0;
    const evaluate: typeof context.evaluate = (...of) => {
      asked += 1;
      return asked === 1 ? Promise.reject(busy()) : context.evaluate(...of);
    };
    const config = { service: 'shop', endpoint: '/', expect: { when: 'response.ok' } };
    expect(await runAdapter(serviceCall, config, { ...context, evaluate })).toMatchObject({ status: 200 });
    expect(asked).toBe(2);
    expect(service.calls).toHaveLength(1);
    await close();
    await service.close();
  });
});
