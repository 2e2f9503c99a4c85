/** Fan-outs and loops in the engine alone: what is stored, added to the queue, evaluated, and what a crash leaves behind. */
import { describe, expect, test } from 'vitest';
import type { Action } from '../../../../src/domain/definition/definition.ts';
import { createFairness } from '../../../../src/engine/accept/fairness.ts';
import { reconcileOnce } from '../../../../src/engine/recover/reconcile.ts';
import type { Json } from '../../../../src/schemas/json.ts';
import { type FakeEngine, failure, NOW, output, RUN, startedEngine } from '../../../harness/fakes/engine.ts';

type Part = Partial<Action>;

/** The run of `a`, which has parts, and `b` after it. */
async function running(parent: Part): Promise<FakeEngine> {
  const engine = await startedEngine({ a: [], b: ['a'] }, (id) => (id === 'a' ? { ...parent, retry: ONCE } : {}));
  // An expression in these tests is a function of what it sees.
  engine.deps.expressions = {
    evaluate: async (text, seen) =>
      new Function(...Object.keys(seen), `return ${text}`)(...Object.values(seen)) as Json,
  };
  return engine;
}
const ONCE = {
  max_attempts: 1,
  backoff: 'fixed' as const,
  initial_delay_seconds: 0,
  max_delay_seconds: 0,
  jitter: 0,
  non_retryable: [],
};
const over = (items: Json, rest: object = {}): Part => ({ for_each: { items, on_item_failure: 'fail', ...rest } });

/** Delivers what is ready and not asleep, and promotes as in the real queue. */
async function drain(engine: FakeEngine): Promise<void> {
  const asleep = new Set<string>();
  const { queue } = engine;
  const promote = queue.promote;
  queue.promote = async (jobs) => {
    for (const { jobId } of jobs) asleep.delete(jobId);
    return promote(jobs);
  };
  for (;;) {
    const job = queue.ready().find(({ node }) => !asleep.has(node.jobId));
    if (job === undefined) break;
    const lease = queue.take(job);
    const disposition = await engine.work(lease);
    queue.end(lease, disposition);
    if (disposition.job === 'delay' && !(await disposition.dueAlready?.())) asleep.add(job.node.jobId);
  }
  queue.promote = promote;
}
const outputOf = (engine: FakeEngine, id: string) => JSON.parse(engine.row(id)?.output ?? 'null') as Json;
const executed = ({ calls }: FakeEngine) => calls.map(({ actionId }) => actionId);

describe('a fan-out', () => {
  test('runs the action for every item, and gives the outputs in the order of the items', async () => {
    const engine = await running({ ...over(['x', 'y', 'z']), config: { n: '{{item}}', at: '{{item_index}}' } });
    engine.behaviours.set('a[1]', () => output('second'));
    await drain(engine);
    expect(engine.calls.slice(0, 3).map(({ input }) => input)).toEqual([
      { n: 'x', at: 0 },
      { n: 'y', at: 1 },
      { n: 'z', at: 2 },
    ]);
    expect(outputOf(engine, 'a')).toEqual([{ from: 'a[0]' }, 'second', { from: 'a[2]' }]);
    expect(engine.run()).toMatchObject({ status: 'completed', final: true });
    expect([engine.queue.open(), engine.queue.violations]).toEqual([[], []]);
  });

  test('over nothing gives nothing', async () => {
    const engine = await running(over([]));
    await drain(engine);
    expect(executed(engine)).toEqual(['b']);
    expect(outputOf(engine, 'a')).toEqual([]);
  });

  test.each([
    ['a template', '{{params.list}}'],
    ['an expression', 'params.list'],
  ])('takes its list from %s', async (_, items) => {
    const engine = await running(over(items));
    const run = engine.run();
    if (run !== undefined) run.parameters = { list: [1, 2] };
    await drain(engine);
    expect(executed(engine)).toEqual(['a[0]', 'a[1]', 'b']);
  });

  test.each([
    ['what is no list', 'params.name', /must give a list; it gave string/],
    ['too long a list', 'Array(10001).fill(0)', /gave 10001 items; one run takes at most 10000/],
  ])('%s fails the action clearly', async (_, items, message) => {
    const engine = await running(over(items));
    await drain(engine);
    expect(engine.errorOf('a')).toMatchObject({ code: 'input_invalid', message: expect.stringMatching(message) });
    expect(engine.run()).toMatchObject({ status: 'failed' });
  });

  test('has at most max_parallel items on their way', async () => {
    const engine = await running(over([0, 1, 2, 3, 4], { max_parallel: 2 }));
    await engine.deliver('a');
    const ready = () =>
      engine.queue
        .ready()
        .flatMap(({ node }) => node.data?.action_id ?? [])
        .filter((id) => id !== 'a');
    expect(ready()).toEqual(['a[0]', 'a[1]']);
    await engine.deliver('a[1]');
    expect(ready()).toEqual(['a[0]', 'a[2]']);
    await drain(engine);
    expect(engine.run()).toMatchObject({ status: 'completed' });
    expect(
      executed(engine)
        .filter((id) => id !== 'b')
        .sort(),
    ).toEqual(['a[0]', 'a[1]', 'a[2]', 'a[3]', 'a[4]']);
  });

  test('an item that fails fails the action, and what has not started never does', async () => {
    const engine = await running(over([0, 1, 2, 3], { max_parallel: 1 }));
    engine.behaviours.set('a[1]', () => failure('no'));
    await drain(engine);
    expect(executed(engine)).toEqual(['a[0]', 'a[1]']);
    expect(engine.errorOf('a')).toMatchObject({
      code: 'item_failed',
      message: expect.stringContaining('a[1] network_error: no'),
      details: { total: 4, not_completed: 3, first_failed: 1 },
    });
    expect(['a[2]', 'b'].map((id) => engine.row(id)?.status)).toEqual(['cancelled', 'upstream_failed']);
    expect(engine.run()).toMatchObject({ status: 'failed', final: true });
  });

  test('with on_item_failure: continue it leaves null at its position', async () => {
    const engine = await running(over([0, 1], { on_item_failure: 'continue' }));
    engine.behaviours.set('a[0]', () => failure('no'));
    await drain(engine);
    expect(outputOf(engine, 'a')).toEqual([null, { from: 'a[1]' }]);
    expect(engine.run()).toMatchObject({ status: 'completed' });
  });

  test('that is cancelled ends after its items, and those that were not started never are', async () => {
    const engine = await running(over([0, 1, 2], { max_parallel: 1 }));
    await engine.deliver('a');
    await engine.store.runs.requestCancel('t', RUN, undefined);
    await engine.deliver('a');
    expect(engine.row('a')).toMatchObject({ final: false });
    expect(engine.row('a[2]')).toMatchObject({ status: 'cancelled' });
    await drain(engine);
    expect(executed(engine)).toEqual([]);
    expect(engine.run()).toMatchObject({ status: 'cancelled', final: true });
    expect([...engine.store.truth.tasks.values()].every(({ final }) => final)).toBe(true);
  });

  test('that is cancelled ends, although the queue has lost the items that were on their way', async () => {
    const engine = await running(over([0, 1]));
    await engine.deliver('a');
    for (const job of engine.queue.jobs().filter(({ node }) => node.name.startsWith('a['))) engine.queue.forget(job);
    await engine.store.runs.requestCancel('t', RUN, undefined);
    await drain(engine);
    expect(executed(engine)).toEqual([]);
    expect(engine.run()).toMatchObject({ status: 'cancelled', final: true });
  });

  test('whose worker died after writing its items down goes on with them', async () => {
    const engine = await running(over(['x', 'y']));
    engine.deps.failpoint = async (name) => {
      if (name === 'parts.afterWrite') throw new Error('killed');
    };
    const lease = engine.take('a');
    await expect(engine.work(lease)).rejects.toThrow('killed');
    engine.deps.failpoint = async () => undefined;
    const job = engine.queue.jobs().find(({ node }) => node.jobId === 'run.1.a');
    if (job !== undefined) engine.queue.stall(job);
    await drain(engine);
    expect(outputOf(engine, 'a')).toHaveLength(2);
    expect(executed(engine)).toEqual(['a[0]', 'a[1]', 'b']);
  });

  test('whose items the queue has lost gives them to it again', async () => {
    const engine = await running(over(['x', 'y']));
    await engine.deliver('a');
    engine.queue.wipe();
    const pass = () => {
      engine.store.due.add(RUN);
      return reconcileOnce({
        ...engine.deps,
        runs: engine.store.runs,
        reconcile: engine.store.reconcile,
        window: 10,
        fairness: createFairness(() => 1),
        checkEveryMs: 30_000,
        suspects,
        queueUse: async () => undefined,
      });
    };
    const suspects = new Map<string, string>();
    await pass();
    await pass();
    await drain(engine);
    expect(engine.run()).toMatchObject({ status: 'completed', final: true });
    expect(engine.calls.filter(({ actionId }) => actionId === 'a[0]')).toHaveLength(1);
  });
});

describe('a loop', () => {
  const until = (condition: string, max = 5): Part => ({
    repeat: { until: condition, max_iterations: max },
    config: { n: '{{iteration}}', before: '{{previous}}' },
  });

  test('goes round until its condition holds, and its output is that of the last iteration', async () => {
    const engine = await running(until('output.n >= 3'));
    for (const n of [0, 1, 2, 3])
      engine.behaviours.set(`a[${n}]`, ({ input }) => output({ n: (input as { n: number }).n }));
    await drain(engine);
    expect(executed(engine)).toEqual(['a[0]', 'a[1]', 'a[2]', 'b']);
    expect(engine.calls[2]?.input).toEqual({ n: 3, before: { n: 2 } });
    expect(outputOf(engine, 'a')).toEqual({ n: 3 });
  });

  test('knows its output by its own name and the number of the iteration', async () => {
    const engine = await running(until('a.from == "a[1]" && iteration == 2'));
    await drain(engine);
    expect(executed(engine)).toEqual(['a[0]', 'a[1]', 'b']);
  });

  test('ends when it may not go on, and goes on when it is retried', async () => {
    const engine = await running(until('iteration == 3', 2));
    await drain(engine);
    expect(engine.errorOf('a')).toMatchObject({ code: 'repeat_exhausted', details: { iteration: 2 } });
    expect(executed(engine)).toEqual(['a[0]', 'a[1]']);
  });

  test('an iteration that fails ends it with its own error', async () => {
    const engine = await running(until('false'));
    engine.behaviours.set('a[1]', () => failure('no'));
    await drain(engine);
    expect(engine.errorOf('a')).toMatchObject({
      code: 'network_error',
      message: 'iteration 2: no',
      details: { iteration: 2 },
    });
    expect(engine.run()).toMatchObject({ status: 'failed' });
  });

  test('waits between two iterations', async () => {
    const engine = await running({ repeat: { until: 'iteration == 2', max_iterations: 3, delay_seconds: 3 } });
    await engine.deliver('a');
    await engine.deliver('a[0]');
    await engine.deliver('a');
    expect(engine.queue.job('test_task', 'run.1.a%5B1%5D')?.node.delayMs).toBe(3_000);
  });

  test('sleeps through a longer pause in its row, and not in the queue', async () => {
    const engine = await running({ repeat: { until: 'iteration == 2', max_iterations: 3, delay_seconds: 60 } });
    await engine.deliver('a');
    await engine.deliver('a[0]');
    await engine.deliver('a');
    expect(engine.queue.job('test_task', 'run.1.a%5B1%5D')?.node.delayMs).toBe(0);
    expect(await engine.deliver('a[1]')).toMatchObject({ job: 'delay', untilMs: NOW + 60_000 });
    expect(engine.row('a[1]')).toMatchObject({ status: 'waiting', attempt: 1, endedAttempt: 0 });
    expect(executed(engine)).toEqual(['a[0]']);
    await drain(engine);
    expect(executed(engine)).toEqual(['a[0]', 'a[1]', 'b']);
  });
});
