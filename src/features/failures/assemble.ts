/** What failed for good, one by one and in groups, put together. */
import type { RetryDeps } from '../../engine/control/retry-run.ts';
import type { Clients } from '../../store/core/database.ts';
import { createDeadLetterStore } from './dead-letter-store.ts';
import { createDeadLetters, type DeadLetters } from './dead-letters.ts';
import { createErrorGroupStore } from './error-group-store.ts';
import { createErrorGroups, type ErrorGroups } from './error-groups.ts';

export function failuresOf(clients: Clients, deps: RetryDeps): { deadLetters: DeadLetters; errorGroups: ErrorGroups } {
  const store = createDeadLetterStore(clients.pool);
  const deadLetters = createDeadLetters({ ...deps, deadLetters: store });
  return {
    deadLetters,
    errorGroups: createErrorGroups({ groups: createErrorGroupStore(clients), deadLetters, waiting: store.count }),
  };
}
