/** The faults of a definition with signals and approvals. */
import { describe, expect, test } from 'vitest';
import { shippedCatalogue } from '../../../../src/compose/features.ts';
import { normaliseDefinition } from '../../../../src/domain/definition/normalise.ts';
import { declaredSignals } from '../../../../src/domain/definition/signals.ts';
import { OrchestratorError } from '../../../../src/domain/errors.ts';
import { checks } from '../../../support/checks.ts';

const rules = { ...shippedCatalogue(), checks };
const signal = (action_id: string, config: unknown) => ({ action_id, action_type: 'signal', config });

function faultsOf(...actions: object[]): Array<{ path: string; message: string }> {
  try {
    normaliseDefinition({ name: 'w', actions }, rules);
    return [];
  } catch (error) {
    if (!(error instanceof OrchestratorError)) throw error;
    expect(error.code).toBe('definition_invalid');
    return error.errors;
  }
}

describe('a definition is rejected', () => {
  test('whose signal has a name that only the run will know', () => {
    const before = { action_id: 'a', action_type: 'test_task' };
    expect(faultsOf(before, signal('s', { name: '{{a.name}}' }))).toEqual([
      { path: 'actions.1.config.name', message: 'must be written out, without templates' },
    ]);
    expect(faultsOf(before, signal('s', '{{a.config}}'))).toMatchObject([{ path: 'actions.1.config' }]);
    expect(faultsOf(before, signal('s', { name: 'x', schema: { const: '{{a.name}}' } }))).toMatchObject([
      { path: 'actions.1.config.schema' },
    ]);
  });

  test('in which one name has two schemas', () => {
    const faults = faultsOf(
      signal('a', { name: 'x', schema: { type: 'string', maxLength: 1 } }),
      signal('b', { name: 'x', schema: { maxLength: 1, type: 'string' } }),
      signal('c', { name: 'y' }),
      signal('d', { name: 'x' }),
    );
    expect(faults).toEqual([
      {
        path: 'actions.3.config.schema',
        message: "the signal 'x' has another schema in actions.0; one name has one schema",
      },
    ]);
  });

  test('whose schemas cannot be used, with all faults at once', () => {
    const faults = faultsOf(
      signal('a', { name: 'x', schema: { type: 'text', properties: { n: { pattern: '(' } } } }),
      signal('b', { schema: { $ref: 'other.json' } }),
      signal('c', { name: 'z', on_timeout: 'continue' }),
    );
    expect(faults.map(({ path }) => path)).toEqual([
      'actions.0.config.schema.properties.n.pattern',
      'actions.1.config.name',
      'actions.1.config.schema.$ref',
      'actions.2.config.timeout_seconds',
    ]);
  });

  test('that would show a secret to whoever is asked', () => {
    const ask = { action_id: 'a', action_type: 'approval', config: { message: 'Use {{secrets.KEY}}?' } };
    expect(faultsOf(ask)).toMatchObject([{ path: 'actions.0.config', message: expect.stringContaining('stored') }]);
  });
});

test('a compensation may wait as well, under the same rules', () => {
  const compensate = { action_type: 'signal', config: { name: 'undone', schema: { type: 'string' } } };
  const undone = { action_id: 'a', action_type: 'test_task', compensate };
  const { definition } = normaliseDefinition({ name: 'w', actions: [undone] }, rules);
  expect(declaredSignals(definition, {}).get('undone')?.actionIds).toEqual(['a~undo']);
  expect(faultsOf(undone, signal('s', { name: 'undone' }))).toEqual([
    {
      path: 'actions.1.config.schema',
      message: "the signal 'undone' has another schema in actions.0.compensate; one name has one schema",
    },
  ]);
});

test('what waits for a name is known from the definition, and of a single task from its parameters', () => {
  const actions = [
    signal('a', { name: 'x', schema: { type: 'string' } }),
    signal('b', { name: 'x', schema: { type: 'string' } }),
  ];
  const { definition } = normaliseDefinition({ name: 'w', actions }, rules);
  expect(declaredSignals(definition, {}).get('x')).toEqual({
    ...{ name: 'x', schema: { type: 'string' }, actionIds: ['a', 'b'], repeated: false },
  });
  const single = {
    ...definition,
    actions: definition.actions.slice(0, 1).map((one) => ({ ...one, config: '{{params}}' })),
  };
  expect([...declaredSignals(single, { name: 'y' }).keys()]).toEqual(['y']);
});
