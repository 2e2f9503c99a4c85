import { expect, test } from 'vitest';
import { guardJson } from '../../../src/schemas/json-guard.ts';
import { nearest } from '../../../src/schemas/nearest.ts';

const nested = (depth: number) => JSON.parse(`${'[{"a":'.repeat(depth / 2)}1${'}]'.repeat(depth / 2)}`);

test('ordinary JSON has no faults', () => {
  expect(guardJson({ a: [1, 'x', null, true, { proto: '😀' }] })).toEqual([]);
  expect(guardJson(nested(100))).toEqual([]);
});

test('all faults are told with their paths', () => {
  const value = JSON.parse(
    '{"a":[{"__proto__":1}],"b":"x\\u0000","c":{"\\ud800":1,"constructor":{},"d":"\\udc00x"},"e":{"prototype":0}}',
  );
  expect(guardJson({ ...value, f: Number.NaN })).toEqual([
    { path: 'a.0', message: "the key '__proto__' is not allowed" },
    { path: 'b', message: 'contains a NUL character' },
    { path: 'c', message: 'a key contains half of a surrogate pair' },
    { path: 'c', message: "the key 'constructor' is not allowed" },
    { path: 'c.d', message: 'contains half of a surrogate pair' },
    { path: 'e', message: "the key 'prototype' is not allowed" },
    { path: 'f', message: 'must be a finite number' },
  ]);
});

test('nesting of 100,000 levels is rejected without overflowing the stack', () => {
  let deep: unknown = 1;
  for (let level = 0; level < 100_000; level++) deep = [deep];
  expect(guardJson(deep)).toEqual([{ path: expect.any(String), message: 'is nested more than 100 levels deep' }]);
  expect(guardJson([[[1]]], { maxDepth: 2 })).toHaveLength(1);
});

test('a list of faults is bounded', () => {
  expect(guardJson(Array.from({ length: 10_000 }, () => '\0'))).toHaveLength(100);
});

test.each([
  ['depend_on', ['description', 'depends_on', 'depends'], 'depends_on'],
  ['tpye', ['type', 'name'], 'type'],
  ['ACTION_TYPE', ['action_type'], 'action_type'],
  ['ab', ['cd'], undefined],
  ['colour', ['retry', 'when'], undefined],
  ['', ['a'], undefined],
  ['x'.repeat(65), ['x'.repeat(64)], undefined],
])('the known name nearest to %s among %j is %s', (name, known, expected) => {
  expect(nearest(name, known)).toBe(expected);
});
