/** The version that an execution is of: the one it names, the canary by its share, else the current one. */

import type { Definition } from '../../domain/definition/definition.ts';
import { OrchestratorError } from '../../domain/errors.ts';
import { isOnCanary } from '../../domain/runs/canary.ts';
import type { WorkflowHead, WorkflowStatus } from '../ports/read-models.ts';
import type { Caller, ExecuteRequest } from '../ports/use-cases.ts';
import type { Plans } from './plans.ts';

export interface WorkflowToRun {
  id: string;
  version: number;
  status: WorkflowStatus;
  definition: Definition;
}

/** What decides about the canary, so that a request that is repeated gets the version that it got. */
export function basisOf(
  caller: Caller,
  idempotencyKey: string | undefined,
  correlationId: string | undefined,
  runId: string | undefined,
): string | undefined {
  return idempotencyKey ?? correlationId ?? caller.correlationId ?? runId;
}

/** Undefined as `basis`: nothing is started, and the version is the one that most would get. */
export function versionFor(
  { id, currentVersion, canary }: Pick<WorkflowHead, 'id' | 'currentVersion' | 'canary'>,
  basis: string | undefined,
): number {
  if (canary === undefined || basis === undefined) return currentVersion;
  return isOnCanary(canary, id, basis) ? canary.version : currentVersion;
}

export async function workflowToRun(
  plans: Plans,
  head: WorkflowHead,
  { version }: Pick<ExecuteRequest, 'version'>,
  basis: string | undefined,
): Promise<WorkflowToRun> {
  const chosen = version ?? versionFor(head, basis);
  if (chosen < 1 || chosen > head.newestVersion) throw new OrchestratorError('not_found', 'Workflow not found');
  // A version never changes, and its plan is cached.
  const { definition } = await plans.of({ workflow_id: head.id, version: chosen });
  return { id: head.id, version: chosen, status: head.status, definition };
}
