import { expect, test } from 'vitest';
import { DEFAULT_RETRY } from '../../../../src/domain/definition/definition.ts';
import { afterFailure } from '../../../../src/domain/runs/retry.ts';

const failure = { code: 'network_error', retryable: true };
const delays = (policy: Partial<typeof DEFAULT_RETRY>, random = 0) =>
  [1, 2, 3, 4].map((attempt) => {
    const after = afterFailure({ ...DEFAULT_RETRY, max_attempts: 9, ...policy }, attempt, failure, random);
    return after.next === 'retry' ? after.delayMs : after.why;
  });

test('without a policy of its own a task is tried four times, after 2, 4 and 8 seconds', () => {
  expect(delays({ max_attempts: 4 })).toEqual([2_000, 4_000, 8_000, 'attempts_used']);
});

test('delays grow as the policy says, are capped, and lose at most their jitter', () => {
  expect(delays({ backoff: 'fixed' })).toEqual([2_000, 2_000, 2_000, 2_000]);
  expect(delays({ backoff: 'linear' })).toEqual([2_000, 4_000, 6_000, 8_000]);
  expect(delays({ initial_delay_seconds: 3, multiplier: 3 })).toEqual([3_000, 9_000, 27_000, 81_000]);
  expect(delays({ multiplier: 1 })).toEqual([2_000, 2_000, 2_000, 2_000]);
  expect(delays({ multiplier: 100, initial_delay_seconds: 0 })).toEqual([0, 0, 0, 0]);
  expect(delays({ max_delay_seconds: 5 })).toEqual([2_000, 4_000, 5_000, 5_000]);
  expect(delays({ jitter: 0.5 }, 0.5)).toEqual([1_500, 3_000, 6_000, 12_000]);
});

test('what cannot help is not tried again', () => {
  expect(afterFailure(DEFAULT_RETRY, 1, { code: 'x', retryable: false }, 0)).toEqual({
    next: 'give_up',
    why: 'non_retryable',
  });
  expect(afterFailure({ ...DEFAULT_RETRY, non_retryable: ['network_error'] }, 1, failure, 0)).toEqual({
    next: 'give_up',
    why: 'non_retryable',
  });
});

test('a service is not called before the time that it requested, within bounds', () => {
  const delayFor = (retryAfterMs: number) => afterFailure(DEFAULT_RETRY, 1, { ...failure, retryAfterMs }, 0);
  expect(delayFor(30_000)).toEqual({ next: 'retry', delayMs: 30_000 });
  expect(delayFor(500)).toEqual({ next: 'retry', delayMs: 2_000 });
  expect(delayFor(Number.MAX_VALUE)).toEqual({ next: 'retry', delayMs: 3_600_000 });
  expect(delayFor(Number.NaN)).toEqual({ next: 'retry', delayMs: 2_000 });
});

test('a policy that was stored before there was a multiplier doubles its delays', () => {
  const { multiplier: _, ...before } = DEFAULT_RETRY;
  expect(afterFailure(before, 3, failure, 0)).toEqual({ next: 'retry', delayMs: 8_000 });
});
