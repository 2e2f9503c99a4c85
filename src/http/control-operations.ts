/** Where somebody who asked for something that takes its time sees how far it is. */
import type { ControlOperation } from '../engine/control-operation-ports.ts';
import * as schemas from '../schemas/control.ts';
import type { HttpDeps } from './deps.ts';
import type { Links } from './links.ts';
import { operation, type Routes, sendJson } from './operation.ts';

export const getControlOperation = operation({
  id: 'getControlOperation',
  permission: 'workflows:read',
  tag: 'Workflows',
  method: 'get',
  path: '/workflows/operations/{operation_id}',
  summary: 'Get the progress of an operation on all executions of a workflow',
  description:
    'Pausing, resuming or deleting a workflow with many live executions goes on after the answer; this is how far. Kept for 30 days.',
  notFound: 'Operation not found',
  answers: { 200: { description: 'How far it is', schema: schemas.controlOperation } },
  problems: [400, 401, 404],
});

export function controlOperationRoutes(routes: Routes, { operations }: HttpDeps, links: Links): void {
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
