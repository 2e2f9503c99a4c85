import fc from 'fast-check';
import { expect, test } from 'vitest';
import { type BudgetWindow, countCall } from '../../../../src/features/services/retry-budget.ts';

function play(steps: Array<{ at: number; again: boolean }>): boolean[] {
  let window: BudgetWindow = new Map();
  return steps.map(({ at, again }) => {
    const next = countCall(window, at, again);
    window = next ?? window;
    return next !== undefined;
  });
}
const calls = (count: number, at: number, again = false) => Array.from({ length: count }, () => ({ at, again }));

test('a few calls may always be made again, beyond that a fifth of all', () => {
  expect(play(calls(5, 0, true))).toEqual([true, true, true, false, false]);
  const busy = play([...calls(80, 0), ...calls(25, 500, true)]).slice(80);
  // Each that is made again is a call as well: 20 of 100.
  expect(busy.filter((allowed) => allowed)).toHaveLength(20);
});

test('what was ten seconds ago counts no more', () => {
  expect(play([...calls(3, 0, true), ...calls(1, 9_999, true), ...calls(1, 10_000, true)])).toEqual([
    ...[true, true, true],
    false,
    true,
  ]);
});

test('in no ten seconds are more than a fifth made again, whatever comes', () => {
  const steps = fc.array(fc.record({ after: fc.nat(2_000), again: fc.boolean() }), { maxLength: 300 });
  fc.assert(
    fc.property(steps, (given) => {
      let at = 0;
      const timed = given.map(({ after, again }) => {
        at += after;
        return { at, again };
      });
      const made = play(timed).flatMap((allowed, n) => (allowed ? [timed[n]] : []));
      for (const last of made) {
        const second = Math.floor((last?.at ?? 0) / 1_000);
        const recent = made.filter((one) => {
          const of = Math.floor((one?.at ?? 0) / 1_000);
          return one !== undefined && of <= second && of > second - 10;
        });
        const again = recent.filter((one) => one?.again === true).length;
        // Calls later in the same second do not make it worse than it was when it was let through.
        expect(again).toBeLessThanOrEqual(Math.max(3, 0.2 * recent.length));
      }
    }),
  );
});

test('a call that is no repetition is always let through', () => {
  expect(play(calls(1_000, 0)).every((allowed) => allowed)).toBe(true);
});
