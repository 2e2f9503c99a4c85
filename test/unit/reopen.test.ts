import { expect, test } from 'vitest';
import { makePlan } from '../../src/domain/plan.ts';
import { toReopen } from '../../src/domain/reopen.ts';
import { definitionOf, type Edges } from '../support/dags.ts';

function reopened(edges: Edges, states: Record<string, string>): string[] {
  return toReopen(makePlan(definitionOf(edges)), (id) => states[id] ?? 'completed');
}

const DIAMOND: Edges = { a: [], b: ['a'], c: ['a'], d: ['b', 'c'] };

test('what completed is kept, what did not is reopened', () => {
  expect(reopened(DIAMOND, { b: 'failed', d: 'upstream_failed' })).toEqual(['b', 'd']);
  expect(reopened(DIAMOND, { d: 'failed' })).toEqual(['d']);
  expect(reopened(DIAMOND, { a: 'cancelled', b: 'cancelled', c: 'cancelled', d: 'cancelled' })).toEqual([
    'a',
    'b',
    'c',
    'd',
  ]);
});

test('every descendant of what is reopened is reopened, even one that completed', () => {
  expect(reopened({ a: [], b: ['a'], c: ['b'], d: ['c'] }, { a: 'failed', d: 'failed' })).toEqual(['a', 'b', 'c', 'd']);
});

test('what was skipped stays skipped as long as everything above it stands', () => {
  expect(reopened(DIAMOND, { b: 'skipped', d: 'failed' })).toEqual(['d']);
  expect(reopened({ a: [], b: ['a'], c: ['b'] }, { a: 'failed', b: 'skipped', c: 'skipped' })).toEqual(['a', 'b', 'c']);
});

test('an action without a row is reopened', () => {
  expect(toReopen(makePlan(definitionOf({ a: [] })), () => undefined)).toEqual(['a']);
});
