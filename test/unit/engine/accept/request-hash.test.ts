import { expect, test } from 'vitest';
import { requestHash } from '../../../../src/engine/accept/request-hash.ts';

test('the order of keys does not count, and neither does what is undefined', () => {
  const hash = requestHash({ task: { a: 1, b: [{ c: 2, d: null }] } });
  expect(requestHash({ task: { b: [{ d: null, c: 2 }], a: 1, e: undefined } })).toBe(hash);
  expect(hash).toMatch(/^[0-9a-f]{64}$/);
});

test('everything else counts', () => {
  const different = [
    {},
    [],
    null,
    '',
    'null',
    0,
    false,
    { a: null },
    { a: 1 },
    { a: '1' },
    { a: [1] },
    { a: [1, 2] },
    { a: [2, 1] },
    { a: { b: 1 } },
    { 'a":1,"b': 1 },
    { a: 1, b: 1 },
    { A: 1 },
    [{ a: 1 }],
    ['a', 1],
    JSON.parse('{"__proto__": 1}'),
  ];
  expect(new Set(different.map(requestHash)).size).toBe(different.length);
});
