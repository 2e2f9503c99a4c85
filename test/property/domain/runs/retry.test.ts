import fc from 'fast-check';
import { expect, test } from 'vitest';
import { afterFailure } from '../../../../src/domain/runs/retry.ts';

const policies = fc.record({
  max_attempts: fc.integer({ min: 1, max: 1_000 }),
  backoff: fc.constantFrom('exponential' as const, 'fixed' as const, 'linear' as const),
  initial_delay_seconds: fc.double({ min: 0, max: 1e6, noNaN: true }),
  multiplier: fc.double({ min: 1, max: 100, noNaN: true }),
  max_delay_seconds: fc.double({ min: 0, max: 1e6, noNaN: true }),
  jitter: fc.double({ min: 0, max: 1, noNaN: true }),
  non_retryable: fc.constant<string[]>([]),
});
const attempts = fc.integer({ min: 1, max: 2_000 });
const randoms = fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true });

test('a task is tried at most max_attempts times and never waits longer than its policy allows', () => {
  fc.assert(
    fc.property(policies, attempts, randoms, (policy, attempt, random) => {
      const after = afterFailure(policy, attempt, { code: 'timeout', retryable: true }, random);
      expect(after.next).toBe(attempt < policy.max_attempts ? 'retry' : 'give_up');
      if (after.next !== 'retry') return;
      expect(after.delayMs).toBeGreaterThanOrEqual(0);
      expect(after.delayMs).toBeLessThanOrEqual(Math.ceil(policy.max_delay_seconds * 1000));
    }),
  );
});

test('the n-th delay of exponential backoff is the first one times the multiplier to the power of n - 1', () => {
  const small = fc.record({
    initial: fc.integer({ min: 0, max: 10 }),
    multiplier: fc.integer({ min: 1, max: 10 }),
    attempt: fc.integer({ min: 1, max: 5 }),
  });
  fc.assert(
    fc.property(small, randoms, ({ initial, multiplier, attempt }, random) => {
      const policy = {
        max_attempts: 10,
        backoff: 'exponential' as const,
        ...{ initial_delay_seconds: initial, multiplier, max_delay_seconds: 1e9, jitter: 0, non_retryable: [] },
      };
      const powered = Array.from({ length: attempt - 1 }, () => multiplier).reduce((a, b) => a * b, initial);
      const after = afterFailure(policy, attempt, { code: 'timeout', retryable: true }, random);
      expect(after).toEqual({ next: 'retry', delayMs: powered * 1000 });
    }),
  );
});
