import { expect, test } from 'vitest';
import { cleanText, makeStorable } from '../../../../src/domain/runs/storable.ts';
import { maskOf } from '../../../../src/domain/texts/mask-secrets.ts';

const limits = { maxBytes: 1_048_576 };
const parsed = (value: unknown) => {
  const result = makeStorable(value, limits);
  return result.ok ? JSON.parse(result.json) : result;
};
const nested = (depth: number) => {
  let value: unknown = 1;
  for (let level = 0; level < depth; level++) value = level % 2 === 0 ? [value] : { x: value };
  return value;
};

test('what JSON has stays, and what it drops is dropped', () => {
  const value = {
    a: [1, 'x', null, true, undefined, () => 1],
    b: undefined,
    c: Symbol('s'),
    d: new Date(0),
    e: Object('boxed'),
  };
  expect(parsed(value)).toEqual({ a: [1, 'x', null, true, null, null], d: '1970-01-01T00:00:00.000Z', e: 'boxed' });
  expect(parsed(undefined)).toBeNull();
  expect(parsed(-0)).toBe(0);
});

test('text that PostgreSQL rejects is replaced, in keys too', () => {
  expect(parsed({ 'a\0': 'b\0c', x: 'half \ud800 and \udc00', pair: '😀' })).toEqual({
    'a␀': 'b␀c',
    x: 'half � and �',
    pair: '😀',
  });
  expect(cleanText('\0\udfff')).toBe('␀�');
});

test('a key __proto__ stays a key and touches no prototype', () => {
  const result = makeStorable(JSON.parse('{"__proto__":{"polluted":true},"constructor":1}'), limits);
  expect(result).toEqual({ ok: true, json: '{"__proto__":{"polluted":true},"constructor":1}' });
  expect(Object.hasOwn(Object.prototype, 'polluted')).toBe(false);
});

const cycle: { a: unknown[] } = { a: [1] };
cycle.a.push(cycle);
const throws = {
  get x(): number {
    throw new Error('no \0 reading');
  },
};
test.each([
  ['a number that is not finite', { a: [Number.POSITIVE_INFINITY] }, "the output has the number Infinity at 'a.0'"],
  ['NaN', Number.NaN, 'the output has the number NaN'],
  ['a bigint', { n: 1n }, "the output has a bigint at 'n'"],
  ['a cycle', cycle, "the output contains itself at 'a.1'"],
  ['101 levels', nested(101), 'is nested more than 100 levels deep'],
  ['100,000 levels', nested(100_000), 'is nested more than 100 levels deep'],
  ['a getter that throws', throws, 'the output cannot be read: no ␀ reading'],
])('%s is rejected and never thrown', (_, value, reason) => {
  expect(makeStorable(value, limits)).toEqual({
    ok: false,
    code: 'output_not_storable',
    message: expect.stringContaining(reason),
  });
});

test('100 levels are stored', () => {
  expect(makeStorable(nested(100), limits).ok).toBe(true);
});

test('the limit counts bytes in UTF-8', () => {
  const euros = '€'.repeat(100);
  expect(makeStorable(euros, { maxBytes: 302 }).ok).toBe(true);
  expect(makeStorable(euros, { maxBytes: 301 })).toMatchObject({ ok: false, code: 'output_too_large' });
});

const doubling = Array.from({ length: 90 }).reduce<unknown>((inner) => [inner, inner], 'x');
test.each([
  ['a list of a billion holes', new Array(1_000_000_000)],
  ['shared parts that unfold to 2^90', doubling],
  ['a buffer of 200 MB', Buffer.alloc(200_000_000)],
  ['a typed array of 200 MB', new Uint8Array(200_000_000)],
  ['a text of 100 MB', 'x'.repeat(100_000_000)],
])('%s is too large, and found so at once', (_, value) => {
  const started = performance.now();
  expect(makeStorable(value, limits)).toMatchObject({ ok: false, code: 'output_too_large' });
  expect(performance.now() - started).toBeLessThan(30_000);
});

test('one object in two positions is no cycle', () => {
  const part = { x: 1 };
  expect(parsed([part, part])).toEqual([part, part]);
});

test('secrets are masked on the way', () => {
  const result = makeStorable({ s3cret: ['Bearer s3cret', 1] }, { ...limits, mask: maskOf(['s3cret']) });
  expect(result).toEqual({ ok: true, json: '{"***":["Bearer ***",1]}' });
});
