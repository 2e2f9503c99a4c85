/** How many runs go for their bytes: never more than the mean says, and in the end enough. */
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { oldestToRemove } from '../../../src/domain/retention.ts';

const sizes = fc.integer({ min: 0, max: 2 ** 50 });
const counts = fc.integer({ min: 0, max: 100_000_000 });

test('nothing is removed of what takes no more than it may', () => {
  fc.assert(
    fc.property(sizes, counts, sizes, (bytes, endedRuns, more) => {
      expect(oldestToRemove({ bytes, endedRuns }, bytes + more)).toBe(0);
    }),
  );
});

test('half of what is too much goes at a time, and one at least', () => {
  expect(oldestToRemove({ bytes: 1_000, endedRuns: 100 }, 500)).toBe(25);
  expect(oldestToRemove({ bytes: 1_000, endedRuns: 100 }, 999)).toBe(1);
  expect(oldestToRemove({ bytes: 1_000, endedRuns: 0 }, 500)).toBe(1);
  expect(oldestToRemove({ bytes: 1e12, endedRuns: 1e9 }, 1)).toBe(10_000);
});

test('measured and removed in turn it ends within the limit, and each time no more goes than half of what is too much', () => {
  fc.assert(
    fc.property(
      fc.array(fc.integer({ min: 1, max: 1_000 }), { minLength: 1, maxLength: 300 }),
      fc.nat(100_000),
      (runs, limit) => {
        const left = [...runs];
        const bytes = () => left.reduce((sum, size) => sum + size, 0);
        let before = { bytes: bytes(), runs: left.length };
        for (;;) {
          const count = oldestToRemove({ bytes: bytes(), endedRuns: left.length }, limit);
          if (count === 0 || left.length === 0) break;
          before = { bytes: bytes(), runs: left.length };
          left.splice(0, count);
          // Half of what is too much by the mean, rounded up.
          expect(count).toBeLessThanOrEqual((before.bytes - limit) / (before.bytes / before.runs) / 2 + 1);
        }
        expect(bytes()).toBeLessThanOrEqual(limit);
      },
    ),
  );
});
