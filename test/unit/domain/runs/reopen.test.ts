import { expect, test } from 'vitest';
import { makePlan } from '../../../../src/domain/graph/plan.ts';
import { describeReopened, toReopen } from '../../../../src/domain/runs/reopen.ts';
import { definitionOf, type Edges } from '../../../harness/dags.ts';

function reopened(edges: Edges, states: Record<string, string>): string[] {
  return toReopen(makePlan(definitionOf(edges)), (id) => states[id] ?? 'completed');
}

const DIAMOND: Edges = { a: [], b: ['a'], c: ['a'], d: ['b', 'c'] };

test('what completed stays, what did not is reopened', () => {
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

test('a rerun reopens the action it starts at, every descendant of it, and what did not complete', () => {
  const rerun = (edges: Edges, from: string, states: Record<string, string> = {}) =>
    toReopen(makePlan(definitionOf(edges)), (id) => states[id] ?? 'completed', from);
  expect(rerun(DIAMOND, 'b')).toEqual(['b', 'd']);
  expect(rerun(DIAMOND, 'a')).toEqual(['a', 'b', 'c', 'd']);
  expect(rerun(DIAMOND, 'd')).toEqual(['d']);
  expect(rerun(DIAMOND, 'b', { b: 'skipped' })).toEqual(['b', 'd']);
  expect(rerun(DIAMOND, 'b', { c: 'failed', d: 'upstream_failed' })).toEqual(['b', 'c', 'd']);
  expect(rerun({ a: [], b: ['a'], x: [], y: ['x'] }, 'b', { y: 'skipped' })).toEqual(['b']);
});

test('what acts again is what may have run and is not idempotent: by its own word, else by that of its type', () => {
  const idempotent: Record<string, boolean> = { own_yes: true, own_no: false };
  const edges = Object.fromEntries(
    ['own_yes', 'own_no', 'by_type', 'skipped', 'above_failed', 'never', 'failed', 'waiting'].map((id) => [id, []]),
  );
  const plan = makePlan(
    definitionOf(edges, (id) => (Object.hasOwn(idempotent, id) ? { idempotent: idempotent[id] ?? false } : {})),
  );
  const attempted: Record<string, { status: string; started?: boolean }> = {
    skipped: { status: 'skipped', started: true },
    above_failed: { status: 'upstream_failed' },
    never: { status: 'cancelled', started: false },
    failed: { status: 'failed', started: true },
  };
  const acting = (typeIsIdempotent: boolean) =>
    describeReopened(
      plan,
      Object.keys(edges),
      (id) => (id === 'waiting' ? undefined : (attempted[id] ?? { status: 'completed' })),
      () => typeIsIdempotent,
    )
      .filter(({ acts_again }) => acts_again)
      .map(({ action_id }) => action_id);
  expect(acting(false)).toEqual(['own_no', 'by_type', 'failed']);
  expect(acting(true)).toEqual(['own_no']);
});

test('an action without a row is reopened', () => {
  expect(toReopen(makePlan(definitionOf({ a: [] })), () => undefined)).toEqual(['a']);
});
