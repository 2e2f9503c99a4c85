/** What failed for good, one by one and in groups, put together. */
import type pg from 'pg';
import type { RetryDeps } from '../../engine/control/retry-run.ts';
import { createDeadLetterStore } from './dead-letter-store.ts';
import { createDeadLetters, type DeadLetters } from './dead-letters.ts';
import { createErrorGroupStore } from './error-group-store.ts';
import { createErrorGroups, type ErrorGroups } from './error-groups.ts';

export function failuresOf(pool: pg.Pool, deps: RetryDeps): { deadLetters: DeadLetters; errorGroups: ErrorGroups } {
  const store = createDeadLetterStore(pool);
  const deadLetters = createDeadLetters({ ...deps, deadLetters: store });
  return {
    deadLetters,
    errorGroups: createErrorGroups({ groups: createErrorGroupStore(pool), deadLetters, waiting: store.count }),
  };
}
