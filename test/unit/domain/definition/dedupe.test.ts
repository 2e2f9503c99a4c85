import { describe, expect, test } from 'vitest';
import { dedupeKeyOf } from '../../../../src/domain/definition/dedupe.ts';
import { mergeDefinition } from '../../../../src/domain/definition/normalise.ts';
import { withDedupe } from '../../../../src/engine/accept/run-dedupe.ts';
import { catalogue, faultsOf, normalise, refusalOf } from '../../../support/definitions.ts';

const definition = (dedupe: unknown, more: object = {}) => ({
  name: 'orders',
  parameters: [{ name: 'order', type: 'object' }],
  actions: [{ action_id: 'ship', action_type: 'test_task' }],
  dedupe,
  ...more,
});
const RUN = { workflow_id: 'w', workflow_version: 3, tenant_id: 't', user_id: 'u', correlation_id: null };
const keyOf = (key: string, params = {}, run = RUN) =>
  dedupeKeyOf(normalise(definition({ key, window_seconds: 60 })), params, run);

describe('dedupe in a definition', () => {
  test('is stored with its policy, which is reject unless said, and stays when the workflow is changed', () => {
    const made = normalise(definition({ key: '{{order.id}}', window_seconds: 60 }));
    expect(made.dedupe).toEqual({ key: '{{order.id}}', window_seconds: 60, policy: 'reject' });
    const changed = mergeDefinition(made, { description: 'new' }, catalogue);
    expect(changed.dedupe).toEqual(made.dedupe);
    expect(mergeDefinition(made, { dedupe: null }, catalogue).dedupe).toBeUndefined();
  });

  test.each([
    [{ key: '', window_seconds: 60 }, 'dedupe.key'],
    [{ key: 'x' }, 'dedupe.window_seconds'],
    [{ key: 'x', window_seconds: 0 }, 'dedupe.window_seconds'],
    [{ key: 'x', window_seconds: 1, policy: 'drop' }, 'dedupe.policy'],
    [{ key: 'x', window_seconds: 1, ttl: 1 }, 'dedupe.ttl'],
  ])('%j does not fit', (dedupe, path) => {
    const refusal = refusalOf(() => normalise(definition(dedupe)));
    expect(refusal.code).toBe('invalid_request');
    expect(refusal.errors.map((fault) => fault.path)).toEqual([path]);
  });

  test('a key that cannot work is rejected with every reason at once', () => {
    const key = '{{ship.id}} {{secrets.KEY}} {{run.id}} {{run.created_at}} {{run}} {{odrer}}';
    expect(faultsOf(() => normalise(definition({ key, window_seconds: 60 })))).toEqual([
      expect.stringMatching(/^dedupe\.key: \{\{odrer\}\}: no parameter and no action is called 'odrer'/),
      'dedupe.key: {{ship.id}}: there are no outputs yet when an execution is accepted',
      'dedupe.key: {{secrets.KEY}}: a key is compared and must not hold secrets',
      ...['{{run.id}}', '{{run.created_at}}', '{{run}}'].map((source) =>
        expect.stringContaining(`dedupe.key: ${source}: is not known when an execution is accepted; of the run`),
      ),
    ]);
  });
});

describe('the key of a run', () => {
  test.each([
    ['{{order.id}}', { order: { id: 7 } }, 7],
    ['{{order}}', { order: { id: 7 } }, { id: 7 }],
    ['{{params.undeclared}}', { undeclared: 'x' }, 'x'],
    ['{{run.tenant_id}}/{{run.workflow_version}}', {}, 't/3'],
    ['nightly', {}, 'nightly'],
    ['order-{{order.id}}', { order: { id: 'a' } }, 'order-a'],
  ])('%s of %j is %j', (key, params, expected) => {
    expect(keyOf(key, params)).toEqual(expected);
  });

  test.each(['{{order.id}}', '{{run.correlation_id}}', '{{params.none}}'])(
    'without a value for %s there is none, so that such runs are not one and the same',
    (key) => {
      expect(keyOf(key, {})).toBeUndefined();
    },
  );

  test('a path that a given parameter has not is an error of the request', () => {
    expect(refusalOf(() => keyOf('{{order.id}}', { order: { number: 7 } })).code).toBe('template_unresolved');
  });
});

describe('a run that is about to be accepted', () => {
  const run = (parameters: object) => ({
    id: 'r',
    tenantId: 't',
    userId: 'u',
    of: { workflow_id: 'w', version: 1 },
    parameters: { ...parameters },
    priority: 50,
    delaySeconds: undefined,
    correlationId: undefined,
    traceId: 'x',
    callbackUrl: undefined,
    idempotencyKey: undefined,
    requestHash: undefined,
  });
  const made = normalise(definition({ key: '{{order}}', window_seconds: 60, policy: 'return_existing' }));
  const keyed = (parameters: object) => withDedupe(run(parameters), { workflow_id: 'w', version: 1 }, made).dedupe;

  test('has a digest of its key, in which the order of fields does not count and types do', () => {
    const one = keyed({ order: { a: 1, b: 2 } });
    expect(one).toEqual({ key: expect.stringMatching(/^[0-9a-f]{64}$/), windowSeconds: 60, policy: 'return_existing' });
    expect(keyed({ order: { b: 2, a: 1 } })).toEqual(one);
    expect(keyed({ order: { a: '1', b: 2 } })?.key).not.toBe(one?.key);
  });

  test('is left as it is without a key and without dedupe', () => {
    const plain = run({});
    expect(withDedupe(plain, { workflow_id: 'w', version: 1 }, made)).toBe(plain);
    const { dedupe: _, ...without } = made;
    expect(withDedupe(plain, { workflow_id: 'w', version: 1 }, without)).toBe(plain);
  });
});
