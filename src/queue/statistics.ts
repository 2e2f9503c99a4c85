/**
 * Statistics for BullMQ's tables on PostgreSQL. Until autovacuum has been there, the planner believes that a parent has one
 * child, and searches the link of one child among those of all: a flow of ten thousand siblings is then read ten thousand
 * times. So large flows are counted when they are added.
 */
import type pg from 'pg';

const LARGE_FLOW = 200;
const AT_MOST_EVERY_MS = 10_000;

const COUNT = 'ANALYZE (SKIP_LOCKED) bullmq.job, bullmq.job_dependency';

/** To be called after every flow that was added. Never rejects: without it all is slower, and nothing else. */
export function createStatistics(
  pool: pg.Pool,
  onError: (error: Error) => void,
  now: () => number = () => performance.now(),
): (jobs: number) => Promise<void> {
  let last = Number.NEGATIVE_INFINITY;
  return async (jobs) => {
    if (jobs < LARGE_FLOW || now() - last < AT_MOST_EVERY_MS) return;
    last = now();
    await pool.query(COUNT).then(
      () => undefined,
      (error: unknown) => onError(error instanceof Error ? error : new Error(String(error))),
    );
  };
}
