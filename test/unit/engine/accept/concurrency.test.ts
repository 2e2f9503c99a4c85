import { describe, expect, test } from 'vitest';
import { mergeDefinition } from '../../../../src/domain/definition/normalise.ts';
import { withConcurrency } from '../../../../src/engine/accept/run-concurrency.ts';
import { newRun } from '../../../harness/outcomes.ts';
import { catalogue, faultsOf, normalise, refusalOf } from '../../../support/definitions.ts';

const definition = (concurrency: unknown) => ({
  name: 'orders',
  parameters: [{ name: 'order', type: 'object' }],
  actions: [{ action_id: 'ship', action_type: 'test_task' }],
  concurrency,
});
const groupOf = (key: string, parameters = {}) =>
  withConcurrency(
    { ...newRun('r'), parameters },
    { workflow_id: 'w', version: 3 },
    normalise(definition({ key, limit: 2 })),
  ).concurrency;

describe('concurrency in a definition', () => {
  test('is stored with its policy, which is queue unless said, and stays when the workflow is changed', () => {
    const made = normalise(definition({ key: '{{order.id}}', limit: 2 }));
    expect(made.concurrency).toEqual({ key: '{{order.id}}', limit: 2, policy: 'queue' });
    expect(mergeDefinition(made, { description: 'new' }, catalogue).concurrency).toEqual(made.concurrency);
    expect(mergeDefinition(made, { concurrency: null }, catalogue).concurrency).toBeUndefined();
  });

  test.each([
    [{ key: '', limit: 1 }, 'concurrency.key'],
    [{ key: 'x' }, 'concurrency.limit'],
    [{ key: 'x', limit: 0 }, 'concurrency.limit'],
    [{ key: 'x', limit: 1.5 }, 'concurrency.limit'],
    [{ key: 'x', limit: 1, policy: 'drop' }, 'concurrency.policy'],
    [{ key: 'x', limit: 1, max: 1 }, 'concurrency.max'],
  ])('%j does not fit', (concurrency, path) => {
    const rejection = refusalOf(() => normalise(definition(concurrency)));
    expect(rejection.code).toBe('invalid_request');
    expect(rejection.errors.map((fault) => fault.path)).toEqual([path]);
  });

  test('a key that cannot work is rejected with every reason at once', () => {
    const key = '{{ship.id}} {{secrets.KEY}} {{run.id}} {{odrer}}';
    const faults = faultsOf(() => normalise(definition({ key, limit: 1 })));
    expect(faults).toHaveLength(4);
    expect(faults.join('\n')).toContain('no outputs yet');
  });
});

describe('the group of a run', () => {
  test('is its key, with the limit and the policy of its version', () => {
    expect(groupOf('{{run.tenant_id}}-{{order.id}}', { order: { id: 7 } })).toEqual({
      key: 't-7',
      limit: 2,
      policy: 'queue',
    });
    expect(groupOf('{{order}}', { order: { id: 7 } })?.key).toBe('{"id":7}');
  });

  test('is none when the key says nothing', () => {
    expect(groupOf('{{order}}')).toBeUndefined();
    expect(groupOf('{{params.customer}}', { customer: '' })).toBeUndefined();
  });

  test('cannot be made of a path that is not there, or of a text of any length', () => {
    expect(refusalOf(() => groupOf('{{order.id}}', { order: {} })).code).toBe('template_unresolved');
    expect(refusalOf(() => groupOf('{{order.id}}', { order: { id: 'x'.repeat(2_000) } })).code).toBe('invalid_request');
    expect(groupOf('{{order.id}}', { order: { id: 'a\0b' } })?.key).toBe('a␀b');
  });
});
