import { expect, test } from 'vitest';
import type { Parameter } from '../../../../src/domain/definition/definition.ts';
import { checkParameters } from '../../../../src/domain/definition/parameters.ts';
import { patternFault } from '../../../../src/domain/texts/patterns.ts';
import { checks } from '../../../support/checks.ts';
import { faultsOf, refusalOf } from '../../../support/definitions.ts';

const parameter = (name: string, more: Partial<Parameter> = {}): Parameter => ({
  name,
  type: 'string',
  required: true,
  ...more,
});

test('values that fit are taken, defaults are filled in, undeclared ones are named in warnings', () => {
  const declared = [
    parameter('url'),
    parameter('limit', { type: 'integer', required: false, default: 10 }),
    parameter('mode', { required: true, default: 'fast' }),
    parameter('note', { required: false }),
  ];
  expect(
    checkParameters(declared, { url: 'http://x', analysis_type: 'comprehensive', limit: null }, false, checks),
  ).toEqual({
    values: { url: 'http://x', limit: 10, mode: 'fast', analysis_type: 'comprehensive' },
    warnings: ["Parameter 'analysis_type' is not declared by the workflow"],
  });
});

test('strict rejects parameters that are not declared, with the nearest one', () => {
  expect(faultsOf(() => checkParameters([parameter('url', { required: false })], { ulr: 'x' }, true, checks))).toEqual([
    "parameters.ulr: is not declared (did you mean 'url'?)",
  ]);
});

test('all faults are reported at once, in the detail too', () => {
  const declared = [
    parameter('url'),
    parameter('count', { type: 'integer' }),
    parameter('tags', { type: 'array', min_length: 1 }),
  ];
  const refusal = refusalOf(() => checkParameters(declared, { count: 1.5, tags: [] }, false, checks));
  expect(refusal.code).toBe('parameter_validation_failed');
  expect(refusal.message).toBe(
    'Parameter validation failed: url is required; count must be an integer, not 1.5; tags must have at least 1 items, not 0',
  );
  expect(refusal.errors.map((fault) => fault.path)).toEqual(['parameters.url', 'parameters.count', 'parameters.tags']);
});

test.each([
  ['string', 'x', 1],
  ['integer', 3.0, '3'],
  ['number', 1.5, true],
  ['boolean', false, 0],
  ['object', {}, []],
  ['array', [], {}],
] as const)('type %s takes %j and rejects %j', (type, good, bad) => {
  const declared = [parameter('p', { type })];
  const copyOf = (value: unknown) => JSON.parse(JSON.stringify(value));
  expect(checkParameters(declared, { p: copyOf(good) }, false, checks).values).toEqual({ p: good });
  expect(refusalOf(() => checkParameters(declared, { p: copyOf(bad) }, false, checks)).errors).toHaveLength(1);
});

test.each([
  [{ enum: ['a', 'b'] }, 'b', 'c', 'must be one of "a", "b"'],
  [{ type: 'object', enum: [{ x: [1] }] }, { x: [1] }, { x: [2] }, 'must be one of an object'],
  [{ min_length: 2 }, 'éé', '😀', 'at least 2 characters, not 1'],
  [{ max_length: 1 }, '😀', 'ab', 'at most 1 characters, not 2'],
  [{ pattern: '^\\d{4}-\\d{2}$' }, '2026-01', '2026-1', 'must match the pattern'],
] as const)('the rule %j takes %j and rejects %j', (rule, good, bad, reason) => {
  const copyOf = (value: unknown) => JSON.parse(JSON.stringify(value));
  const declared = [parameter('p', copyOf(rule))];
  expect(checkParameters(declared, { p: copyOf(good) }, false, checks).values).toEqual({ p: good });
  expect(refusalOf(() => checkParameters(declared, { p: copyOf(bad) }, false, checks)).message).toContain(reason);
});

test('a pattern that would backtrack for ever takes linear time, and look-around is rejected', () => {
  const started = performance.now();
  refusalOf(() =>
    checkParameters([parameter('p', { pattern: '^(a+)+$' })], { p: `${'a'.repeat(100_000)}b` }, false, checks),
  );
  expect(performance.now() - started).toBeLessThan(30_000);
  expect(patternFault('(?=a)')).toContain("is not a pattern of RE2's syntax");
  expect(patternFault('[')).toBeDefined();
  expect(patternFault('((a{100}){100}){100}')).toBeDefined();
});

test('names that are prototypes elsewhere are only names here', () => {
  const given = JSON.parse('{"__proto__":{"polluted":1},"constructor":2}');
  const { values, warnings } = checkParameters([parameter('toString', { required: false })], given, false, checks);
  expect(Object.keys(values)).toEqual(['__proto__', 'constructor']);
  expect(warnings).toHaveLength(2);
  expect(Object.hasOwn(Object.prototype, 'polluted')).toBe(false);
  expect(faultsOf(() => checkParameters([parameter('toString')], {}, false, checks))).toEqual([
    'parameters.toString: is required',
  ]);
});
