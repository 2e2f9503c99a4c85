import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { changesOf, isSame } from '../../../../src/domain/texts/json-changes.ts';
import { diffDefinitions } from '../../../../src/features/versions/diff-definitions.ts';
import type { Json } from '../../../../src/schemas/json.ts';
import { normalise } from '../../../support/definitions.ts';

const task = (action_id: string, more: object = {}) => ({ action_id, action_type: 'test_task', ...more });
const made = (more: object = {}, actions: object[] = [task('a'), task('b', { depends_on: ['a'] })]) =>
  normalise({ name: 'w', actions, ...more });
const parameter = (more: object = {}) => ({ parameters: [{ name: 'p', type: 'string', ...more }] });
const reasonsOf = (before: object, after: object) =>
  diffDefinitions(made(before), made(after)).reasons.map(({ path, message }) => `${path}: ${message}`);

describe('the difference of two versions', () => {
  test('is nothing for the same definition, in whatever order it says things', () => {
    const before = made(
      {
        tags: ['x', 'y'],
        parameters: [
          { name: 'p', type: 'string' },
          { name: 'q', type: 'string' },
        ],
      },
      [task('a', { config: { x: 1, y: 2 } }), task('b'), task('c', { depends_on: ['a', 'b'] })],
    );
    const after = made(
      {
        tags: ['y', 'x'],
        parameters: [
          { name: 'q', type: 'string' },
          { name: 'p', type: 'string' },
        ],
      },
      [task('b'), task('c', { depends_on: ['b', 'a'] }), task('a', { config: { y: 2, x: 1 } })],
    );
    expect(diffDefinitions(before, after)).toEqual({
      identical: true,
      breaking: false,
      reasons: [],
      fields: [],
      parameters: { added: [], removed: [], changed: [] },
      actions: { added: [], removed: [], changed: [] },
    });
  });

  test('names what was added, removed and changed, field by field, with old and new values', () => {
    const before = made({ description: 'old', ...parameter({ default: 1, type: 'integer' }) }, [
      task('a', { config: { url: 'x', deep: { one: 1, two: 2 }, list: [1, 2] } }),
      task('gone'),
    ]);
    const after = made(
      {
        tags: ['t'],
        parameters: [
          { name: 'p', type: 'integer', default: 2 },
          { name: 'q', type: 'string', default: '' },
        ],
      },
      [
        task('a', { config: { url: 'x', deep: { one: 1, two: 3, three: null }, list: [1] }, timeout_seconds: 5 }),
        task('new'),
      ],
    );
    const diff = diffDefinitions(before, after);
    expect(diff).toMatchObject({
      identical: false,
      fields: [
        { path: 'description', old: 'old' },
        { path: 'tags', old: [], new: ['t'] },
      ],
      parameters: {
        added: [{ name: 'q', type: 'string', default: '' }],
        removed: [],
        changed: [{ name: 'p', changes: [{ path: 'default', old: 1, new: 2 }] }],
      },
      actions: {
        added: [{ action_id: 'new', action_type: 'test_task' }],
        removed: [{ action_id: 'gone', action_type: 'test_task' }],
        changed: [
          {
            action_id: 'a',
            changes: [
              { path: 'config.deep.two', old: 2, new: 3 },
              { path: 'config.deep.three', new: null },
              { path: 'config.list', old: [1, 2], new: [1] },
              { path: 'timeout_seconds', old: 300, new: 5 },
            ],
          },
        ],
      },
    });
    expect(diff.fields.find(({ path }) => path === 'description')).not.toHaveProperty('new');
  });

  test('the other way round it has the same paths, with old and new exchanged', () => {
    const one = made({ description: 'x' }, [task('a', { config: { x: 1 } })]);
    const other = made({}, [task('a', { config: { y: 2 } }), task('b')]);
    const there = diffDefinitions(one, other);
    const back = diffDefinitions(other, one);
    expect(back.actions.removed).toEqual(there.actions.added);
    expect(back.fields).toEqual([{ path: 'description', new: 'x' }]);
    expect(there.actions.changed[0]?.changes).toEqual([
      { path: 'config.x', old: 1 },
      { path: 'config.y', new: 2 },
    ]);
  });

  test('a field that is called like something inherited is a field', () => {
    const config = (value: number) => JSON.parse(`{"toString": ${value}, "hasOwnProperty": 1}`) as Json;
    expect(changesOf(config(1), config(2))).toEqual([{ path: 'toString', old: 1, new: 2 }]);
    expect(changesOf({}, config(2))).toHaveLength(2);
  });
});

describe('a version breaks who starts executions', () => {
  test.each([
    ['a parameter that is gone', parameter(), {}, 'is not declared any more'],
    ['a new one that is required', {}, parameter(), 'is required now'],
    ['one that becomes required', parameter({ required: false }), parameter({ required: true }), 'is required now'],
    ['one that loses its default', parameter({ default: 'x' }), parameter(), 'is required now'],
    ['another type', parameter(), parameter({ type: 'integer' }), 'was of type string and is of type integer'],
    [
      'a number that has to be an integer',
      parameter({ type: 'number' }),
      parameter({ type: 'integer' }),
      'was of type number and is of type integer',
    ],
    ['first allowed values', parameter(), parameter({ enum: ['x'] }), 'takes only certain values now'],
    [
      'fewer allowed values',
      parameter({ enum: ['x', 'y', 'z'] }),
      parameter({ enum: ['y'] }),
      'does not take "x", "z" any more',
    ],
    ['a length it must have', parameter(), parameter({ min_length: 2 }), 'must have a length of at least 2 now'],
    [
      'a smaller length',
      parameter({ max_length: 9 }),
      parameter({ max_length: 8 }),
      'must have a length of at most 8 now',
    ],
    ['another pattern', parameter({ pattern: 'a' }), parameter({ pattern: 'b' }), 'must match b now'],
  ])('%s', (_, before, after, reason) => {
    expect(reasonsOf(before, after)).toEqual([`parameters.p: ${reason}`]);
    expect(diffDefinitions(made(before), made(after)).breaking).toBe(true);
  });

  test.each([
    ['a new one with a default', {}, parameter({ default: 'x' })],
    ['a new one that is not required', {}, parameter({ required: false })],
    ['one that becomes optional', parameter(), parameter({ required: false })],
    ['another default', parameter({ default: 'x' }), parameter({ default: 'y' })],
    ['another description', parameter(), parameter({ description: 'x' })],
    ['an integer that may be any number', parameter({ type: 'integer' }), parameter({ type: 'number' })],
    ['more allowed values', parameter({ enum: ['x'] }), parameter({ enum: ['y', 'x'] })],
    ['any value', parameter({ enum: ['x'] }), parameter()],
    ['no pattern any more', parameter({ pattern: 'a' }), parameter()],
    ['wider lengths', parameter({ min_length: 2, max_length: 3 }), parameter({ min_length: 1 })],
  ])('not: %s', (_, before, after) => {
    expect(reasonsOf(before, after)).toEqual([]);
    expect(diffDefinitions(made(before), made(after))).toMatchObject({ identical: false, breaking: false });
  });
});

describe('a version breaks who reads outputs', () => {
  const output = (value: unknown) => ({ output: value });
  test.each([
    [
      'a part that is gone',
      output({ x: '{{a.v}}', y: { z: 1 } }),
      output({ x: '{{a.v}}', y: {} }),
      ['output.y.z: is not a part of the output of an execution any more'],
    ],
    [
      'an object that is a value',
      output({ x: { y: 1 } }),
      output({ x: '{{a.v}}' }),
      ['output.x: was an object and is a value'],
    ],
    ['a list that is an object', output([1]), output({ x: 1 }), ['output: was a list and is an object']],
    [
      'the outputs of the last actions replaced by a value',
      {},
      output('{{b.v}}'),
      ['output: was an object and is a value'],
    ],
  ])('%s', (_, before, after, reasons) => {
    expect(reasonsOf(before, after)).toEqual(reasons);
  });

  test.each([
    ['a part more', output({ x: 1 }), output({ x: 1, y: 2 })],
    ['another value', output({ x: '{{a.v}}' }), output({ x: '{{b.v}}' })],
    ['the same written out', {}, output({ b: '{{b}}' })],
  ])('not: %s', (_, before, after) => {
    expect(reasonsOf(before, after)).toEqual([]);
  });

  test('an action that is gone or of another type, if the output was made of it, and not otherwise', () => {
    const of = (actions: object[], value: unknown = { v: '{{a.v}}' }) => made(output(value), actions);
    const reasons = (after: ReturnType<typeof made>) =>
      diffDefinitions(of([task('a'), task('b')]), after).reasons.map(({ path, message }) => `${path}: ${message}`);
    expect(reasons(of([task('c'), task('b')], { v: '{{c.v}}' }))).toEqual([
      'actions.a: is gone, and the output of an execution was made of its output',
    ]);
    const fetch = { action_id: 'a', action_type: 'http_request', config: { url: 'http://x' } };
    expect(reasons(of([fetch, task('b')]))).toEqual([
      'actions.a: was of type test_task and is of type http_request, and the output of an execution is made of its output',
    ]);
    expect(reasons(of([task('a')]))).toEqual([]);
  });

  test('without a template: a last action that is gone, or that something comes after', () => {
    const before = made({}, [task('a')]);
    const after = made({}, [task('a'), task('b', { depends_on: ['a'] })]);
    expect(diffDefinitions(before, after).reasons).toEqual([
      { path: 'output.a', message: 'is not a part of the output of an execution any more' },
    ]);
    expect(diffDefinitions(before, made({}, [task('c')])).reasons.map(({ path }) => path)).toEqual([
      'output.a',
      'actions.a',
    ]);
  });
});

test.each(['approval', 'signal', 'external'])('a version breaks who answers its %s', (action_type) => {
  const before = made();
  const [a, b] = before.actions;
  if (a === undefined || b === undefined) throw new Error('two actions were given');
  const answered = { ...before, actions: [{ ...a, action_type }, b] };
  expect(diffDefinitions(answered, before).reasons).toEqual([
    { path: 'actions.a', message: `is no ${action_type} any more, and somebody outside answers it by its id` },
  ]);
  expect(diffDefinitions(answered, answered).reasons).toEqual([]);
});

test('changes that are applied lead from the one value to the other', () => {
  const value = fc.letrec<{ value: Json }>((tie) => ({
    value: fc.oneof(
      { depthSize: 'small' },
      fc.constantFrom<Json>(null, true, 0, 1, 'x', ''),
      fc.array(tie('value'), { maxLength: 2 }),
      fc.dictionary(fc.constantFrom('a', 'b', 'c'), tie('value'), { maxKeys: 3 }),
    ),
  })).value;
  fc.assert(
    fc.property(
      fc.dictionary(fc.constantFrom('a', 'b'), value),
      fc.dictionary(fc.constantFrom('a', 'b'), value),
      (one, other) => {
        const copy = structuredClone(one) as Record<string, Json>;
        for (const change of changesOf(one, other)) {
          const keys = change.path.split('.');
          const last = keys.pop() ?? '';
          const holder = keys.reduce((at, key) => at[key] as Record<string, Json>, copy);
          if ('new' in change) holder[last] = change.new as Json;
          else delete holder[last];
        }
        expect(isSame(copy, other)).toBe(true);
        expect(changesOf(one, other).length === 0).toBe(isSame(one, other));
      },
    ),
  );
});
