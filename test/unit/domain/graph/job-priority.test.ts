import fc from 'fast-check';
import { expect, test } from 'vitest';
import { MAX_RANK } from '../../../../src/domain/fairness/fair-share.ts';
import {
  endPriority,
  type JobRank,
  jobPriority,
  NOT_URGENT,
  urgencyOf,
} from '../../../../src/domain/graph/job-priority.ts';

const ranks = fc.record({
  priority: fc.integer({ min: 1, max: 100 }),
  urgency: fc.integer({ min: 0, max: NOT_URGENT }),
  depth: fc.integer({ min: 0, max: 10_000 }),
  rank: fc.option(fc.integer({ min: 0, max: MAX_RANK }), { nil: undefined }),
});
const isFirst = ({ depth, rank }: JobRank) => rank !== undefined && depth === 0;

/** The order in words; 0: BullMQ takes them as they were added. */
function compare(a: JobRank, b: JobRank): number {
  const steps = [a.priority - b.priority, Number(isFirst(a)) - Number(isFirst(b))];
  if (isFirst(a) && isFirst(b)) steps.push((a.rank ?? 0) - (b.rank ?? 0), a.urgency - b.urgency);
  else steps.push(a.urgency - b.urgency, Math.min(b.depth, 999) - Math.min(a.depth, 999));
  return steps.find((step) => step !== 0) ?? 0;
}

test('the client comes first, then what is under way, then the ranks of the tenants, then what is urgent', () => {
  fc.assert(
    fc.property(ranks, ranks, (a, b) => {
      expect(Math.sign(jobPriority(a) - jobPriority(b))).toBe(Math.sign(compare(a, b)));
    }),
  );
});

test('every number is one that BullMQ takes, and the end of a run comes before all of its priority', () => {
  fc.assert(
    fc.property(ranks, (rank) => {
      const found = jobPriority(rank);
      expect(found).toBeGreaterThan(endPriority(rank.priority) - 1);
      expect(found).toBeLessThan(endPriority(rank.priority + 1));
      expect(found).toBeLessThanOrEqual(2_097_151);
    }),
  );
  expect(endPriority(1)).toBeGreaterThan(0);
});

test('the nearer the deadline the more urgent; without one, or far from it, nothing is', () => {
  const urgencies = [-1, 4, 10, 30, 100, 600, 3_000, 10_000, 50_000, 500_000, 10_000_000].map((seconds) =>
    urgencyOf(seconds * 1_000, 0),
  );
  expect(urgencies).toEqual([0, 0, 1, 2, 3, 4, 5, 6, 7, 8, NOT_URGENT]);
  expect(urgencyOf(undefined, 0)).toBe(NOT_URGENT);
});
