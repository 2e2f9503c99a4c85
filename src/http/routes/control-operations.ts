/** Where somebody who asked for something that takes its time sees how far it is. */
import type { ControlOperations } from '../../engine/control/control-operations.ts';
import type { ControlOperation } from '../../engine/ports/control-operations.ts';
import * as schemas from '../../schemas/control.ts';
import type { Links } from '../server/links.ts';
import { endpoints, operation, type Routes, sendJson } from '../server/operation.ts';

export const getControlOperation = operation({
  id: 'getControlOperation',
  permission: 'workflows:read',
  tag: 'Workflows',
  method: 'get',
  path: '/workflows/operations/{operation_id}',
  summary: 'Get the progress of an operation on many executions',
  description:
    'Pausing, resuming or deleting a workflow with many live executions continues after the response; this returns the progress. Operations are stored for 30 days.',
  notFound: 'Operation not found',
  answers: { 200: { description: 'The progress of the operation', schema: schemas.controlOperation } },
});

interface Needs {
  operations: Pick<ControlOperations, 'start' | 'find'>;
  links: Links;
}

export const controlOperationRoutes = endpoints([getControlOperation], serve);

function serve(routes: Routes, { operations, links }: Needs): void {
  routes.serve(getControlOperation, async ({ params, caller, response }) => {
    sendJson(response, 200, presentOperation(await operations.find(caller, params['operation_id'] ?? ''), links));
  });
}

export function presentOperation(found: ControlOperation, links: Links): schemas.ControlOperation {
  return {
    operation_id: found.id,
    kind: found.kind,
    workflow_id: found.workflowId,
    status: found.status,
    reason: found.reason,
    requested_by: found.requestedBy,
    executions: { total: found.total, done: found.done, skipped: found.skipped, failed: found.failed },
    error: found.error,
    requested_at: found.requestedAt.toISOString(),
    finished_at: found.finishedAt?.toISOString() ?? null,
    links: { self: links.operation(found.id) },
  };
}
