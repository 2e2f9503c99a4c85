/** What failed for good, one by one and in groups, put together. */
import type pg from 'pg';
import { createDeadLetters, type DeadLetters } from '../engine/dead-letters.ts';
import { createErrorGroups, type ErrorGroups } from '../engine/error-groups.ts';
import type { RetryDeps } from '../engine/retry-run.ts';
import { createDeadLetterStore } from '../store/dead-letters.ts';
import { createErrorGroupStore } from '../store/error-groups.ts';

export function failuresOf(pool: pg.Pool, deps: RetryDeps): { deadLetters: DeadLetters; errorGroups: ErrorGroups } {
  const store = createDeadLetterStore(pool);
  const deadLetters = createDeadLetters({ ...deps, deadLetters: store });
  return {
    deadLetters,
    errorGroups: createErrorGroups({ groups: createErrorGroupStore(pool), deadLetters, waiting: store.count }),
  };
}
