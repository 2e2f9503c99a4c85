/** Who may do what concerns a whole tenant. */
import { OrchestratorError } from '../domain/errors.ts';
import type { Caller } from '../engine/use-cases.ts';

/**
 * Callers have no roles yet: where API keys are configured whoever holds one is an administrator, and where nothing is
 * required everybody is. This is the one place to change once callers say more of themselves.
 */
function isAdministrator(caller: Caller): boolean {
  return caller.tenantId !== '';
}

export function requireAdministrator(caller: Caller): void {
  if (!isAdministrator(caller)) throw new OrchestratorError('forbidden', 'Only an administrator may do this');
}
