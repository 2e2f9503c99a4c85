/** What failed for good, one by one and in groups, put together. */
import type { RetryDeps } from '../../engine/control/retry-run.ts';
import type { RejectedMessages } from '../../engine/ports/rejected-messages.ts';
import type { Clients } from '../../store/core/database.ts';
import { createDeadLetterStore } from './dead-letter-store.ts';
import { createDeadLetters } from './dead-letters.ts';
import { createDeadMessages } from './dead-messages.ts';
import { createErrorGroupStore } from './error-group-store.ts';
import { createErrorGroups, type ErrorGroups } from './error-groups.ts';
import type { DeadLetters } from './ports.ts';

export function failuresOf(
  clients: Clients,
  deps: RetryDeps,
  rejected: () => RejectedMessages | undefined = () => undefined,
): { deadLetters: DeadLetters; errorGroups: ErrorGroups } {
  const store = createDeadLetterStore(clients.pool);
  const deadLetters = createDeadLetters({ ...deps, deadLetters: store, messages: createDeadMessages(rejected) });
  return {
    deadLetters,
    errorGroups: createErrorGroups({ groups: createErrorGroupStore(clients), deadLetters, waiting: store.count }),
  };
}
