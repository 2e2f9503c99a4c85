import { describe, expect, test } from 'vitest';
import type { Action } from '../../../../src/domain/definition/definition.ts';
import { mergeDefinition } from '../../../../src/domain/definition/normalise.ts';
import { failure, output, RUN, startedEngine, tries } from '../../../harness/fakes/engine.ts';
import { catalogue, faultsOf, normalise, refusalOf } from '../../../support/definitions.ts';

const workflow = (cache: unknown, more: object = {}) => ({
  name: 'w',
  actions: [
    { action_id: 'first', action_type: 'test_task' },
    { action_id: 'a', action_type: 'test_task', cache, ...more },
  ],
});

describe('cache in a definition', () => {
  test('is stored, and an action that its key names is waited for', () => {
    const made = normalise(workflow({ key: '{{first.id}} {{params.url}} {{run.id}}', ttl_seconds: 60 }));
    expect(made.actions[1]).toMatchObject({
      cache: { key: '{{first.id}} {{params.url}} {{run.id}}', ttl_seconds: 60 },
      depends_on: ['first'],
    });
    expect(mergeDefinition(made, { description: 'new' }, catalogue).actions).toEqual(made.actions);
  });

  test.each([
    [{ key: 'x' }, 'actions.1.cache.ttl_seconds'],
    [{ key: '', ttl_seconds: 1 }, 'actions.1.cache.key'],
    [{ key: 'x', ttl_seconds: 0 }, 'actions.1.cache.ttl_seconds'],
    [{ key: 'x', ttl_seconds: 1, scope: 'all' }, 'actions.1.cache.scope'],
  ])('%j does not fit', (cache, path) => {
    const refusal = refusalOf(() => normalise(workflow(cache)));
    expect(refusal.code).toBe('invalid_request');
    expect(refusal.errors.map((fault) => fault.path)).toEqual([path]);
  });

  test('a key that cannot work is rejected with every reason at once', () => {
    const key = '{{secrets.KEY}} {{a.id}} {{frist.id}}';
    expect(faultsOf(() => normalise(workflow({ key, ttl_seconds: 60 })))).toEqual([
      expect.stringMatching(/^actions\.1\.cache\.key: \{\{frist\.id\}\}: no parameter and no action is called 'frist'/),
      'actions.1.cache.key: {{secrets.KEY}}: a key is compared and must not hold secrets',
      "actions.1.cache.key: 'a' names its own output",
    ]);
  });

  test.each(['wait', 'approval', 'signal', 'external', 'workflow'])('what %s is for cannot be cached', (type) => {
    const known = { ...catalogue, canonical: () => type, check: () => [] };
    expect(
      faultsOf(() => mergeDefinition(normalise(workflow(null)), workflow({ key: 'x', ttl_seconds: 1 }), known)),
    ).toEqual([`actions.1.cache: the output of '${type}' cannot be cached`]);
  });
});

test.each([
  ['for_each', { for_each: { items: [1, 2] } }],
  ['repeat', { repeat: { until: 'true', max_iterations: 2 } }],
])('an action with %s has no cache', (field, more) => {
  expect(faultsOf(() => normalise(workflow({ key: 'x', ttl_seconds: 1 }, more)))).toEqual([
    expect.stringContaining(`actions.1.cache: an action with ${field}`),
  ]);
});

const cached = (change: Partial<Action> = {}) =>
  startedEngine({ a: [], b: ['a'] }, (id) =>
    id === 'a' ? { cache: { key: '{{params.name}}', ttl_seconds: 60 }, config: { x: 1 }, ...change } : {},
  );

describe('an action with a cache', () => {
  test('is executed when there is nothing, and its committed output is cached', async () => {
    const engine = await cached();
    await engine.deliver('a');
    expect(engine.calls.map(({ actionId }) => actionId)).toEqual(['a']);
    expect(engine.cache.stored).toEqual([
      {
        tenantId: 't',
        key: engine.cache.lookups[0],
        ttlSeconds: 60,
        runId: RUN,
        actionId: 'a',
        commitId: engine.row('a')?.commitId,
      },
    ]);
    expect([...engine.cache.entries.values()]).toEqual(['{"from":"a"}']);
  });

  test('is not executed when there is its output: that is committed, and its dependents go on', async () => {
    const before = await cached();
    await before.deliver('a');
    const engine = await cached();
    const [key = ''] = before.cache.lookups;
    engine.cache.entries.set(key, '{"kept":1}');
    await engine.drain();
    expect(engine.calls.map(({ actionId }) => actionId)).toEqual(['b']);
    expect(engine.row('a')).toMatchObject({ status: 'completed', final: true, output: '{"kept":1}' });
    expect(engine.run()).toMatchObject({ status: 'completed' });
    // It is not cached again, or it would never end.
    expect(engine.cache.stored).toEqual([]);
  });

  test.each([
    ['another config', { config: { x: 2 } }],
    ['another type', { action_type: 'other' }],
    ['another key', { cache: { key: 'x{{params.name}}', ttl_seconds: 60 } }],
  ] as const)('with %s reads another entry', async (_, change) => {
    const [one, other] = [await cached(), await cached(change)];
    await one.deliver('a');
    await other.deliver('a');
    expect(other.cache.lookups).toHaveLength(1);
    expect(other.cache.lookups).not.toEqual(one.cache.lookups);
  });

  test('that waits for its next try, or fails for good, caches nothing', async () => {
    const engine = await cached(tries(2));
    engine.behaviours.set('a', () => failure('no'));
    await engine.deliver('a');
    expect(engine.row('a')).toMatchObject({ status: 'retrying' });
    expect(engine.cache.stored).toEqual([]);
    const last = await cached(tries(1));
    last.behaviours.set('a', () => failure('no'));
    await last.deliver('a');
    expect(last.row('a')).toMatchObject({ status: 'failed' });
    expect(last.cache.stored).toEqual([]);
  });

  test('caches nothing of a commit that was rejected', async () => {
    const engine = await cached();
    engine.behaviours.set('a', async () => {
      await engine.store.runs.endAbnormally(RUN, 1, 'cancelled', [{ actionId: 'a', actionType: 'test_task' }]);
      return output({ late: true });
    });
    await engine.deliver('a');
    expect(engine.store.truth.lateEffects).toHaveLength(1);
    expect(engine.cache.stored).toEqual([]);
  });

  test('is executed and completes while the cache cannot be reached', async () => {
    const engine = await cached();
    const away = () => Promise.reject(new Error('away'));
    Object.assign(engine.cache, { find: away, keep: away });
    await engine.deliver('a');
    expect(engine.row('a')).toMatchObject({ status: 'completed', output: '{"from":"a"}' });
  });

  test('is executed in a run that is retried manually, and its output replaces the one before', async () => {
    const engine = await cached();
    await engine.deliver('a');
    const [key = ''] = engine.cache.lookups;
    const next = await cached();
    next.cache.entries.set(key, '{"kept":1}');
    const run = next.run();
    if (run === undefined) throw new Error('there is no run');
    run.epoch = 2;
    await next.deliverByHand('a', {}, { epoch: 2 });
    expect(next.calls).toHaveLength(1);
    expect([...next.cache.entries]).toEqual([[key, '{"from":"a"}']]);
  });

  test('whose key says nothing is neither read nor cached', async () => {
    const engine = await cached({ cache: { key: '{{params.none}}', ttl_seconds: 60 } });
    await engine.deliver('a');
    expect(engine.row('a')).toMatchObject({ status: 'completed' });
    expect(engine.cache).toMatchObject({ lookups: [], stored: [] });
  });

  test('whose key names what is not there fails', async () => {
    const engine = await cached({ cache: { key: '{{params.name.length}}', ttl_seconds: 60 } });
    await engine.deliver('a');
    expect(engine.errorOf('a')).toMatchObject({ code: 'template_unresolved' });
  });

  test('caches what was committed: without secrets', async () => {
    const engine = await cached({ config: { key: '{{secrets.KEY}}' } });
    engine.behaviours.set('a', () => output({ echo: 'open sesame' }));
    await engine.deliver('a');
    expect([...engine.cache.entries.values()]).toEqual(['{"echo":"open ***"}']);
  });
});

test('without a cache nothing is read', async () => {
  const engine = await startedEngine({ a: [], b: ['a'] });
  await engine.drain();
  expect(engine.cache).toMatchObject({ lookups: [], stored: [] });
});
