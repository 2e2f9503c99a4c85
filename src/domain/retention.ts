/** Retention by bytes: how many runs to remove so that what is stored takes no more than the limit. */

export interface RetainedRuns {
  /** Of all runs, with all that is stored of them. */
  bytes: number;
  /** Only these can be removed. */
  endedRuns: number;
}

/** Removed before it is measured again. */
const MOST_AT_ONCE = 10_000;

/**
 * How many of the oldest ended runs to remove before what is left is measured again; 0: it is no more than the limit. It is
 * half of what their mean size says, because the oldest may be larger than the mean, and what was removed cannot be had
 * back. One at least: a sample may have missed the few ended ones among many.
 */
export function oldestToRemove({ bytes, endedRuns }: RetainedRuns, limitBytes: number): number {
  if (bytes <= limitBytes) return 0;
  if (endedRuns < 1) return 1;
  const mean = bytes / endedRuns;
  const excess = (bytes - limitBytes) / mean;
  return Math.min(Math.ceil(excess / 2), MOST_AT_ONCE);
}
