/** An action of a live execution is settled manually: skipped, or completed with an output. */

import type { Response } from 'express';
import type { Settled, SettleManually } from '../../engine/ports/use-cases.ts';
import { markPermission } from '../../http/middleware/audit-requests.ts';
import { hasPermission } from '../../http/middleware/authorise.ts';
import { endpoints, operation, type Routes, sendJson } from '../../http/server/operation.ts';
import * as schemas from '../../schemas/control.ts';

const tag = 'Executions';
const notFound = 'Execution not found';
const path = '/workflows/executions/{execution_id}';

export const skipAction = operation({
  id: 'skipAction',
  permission: 'executions:control',
  tag,
  method: 'post',
  path: `${path}/skip`,
  summary: 'Skip an action of a live execution',
  description:
    'For dependent actions it counts as any other skipped action. A running adapter is aborted, and anything it does afterwards is recorded as a late effect. Dependent actions still wait for the dependencies of the skipped action. For an approval with approvers the permission `approvals:override` is required as well, and the override is recorded.',
  body: schemas.skipRequest,
  notFound,
  answers: { 200: { description: 'Skipped', schema: schemas.settledAction } },
  problems: ['already_final', 'conflict', 'unknown_action'],
});

export const completeAction = operation({
  id: 'completeAction',
  permission: 'executions:control',
  tag,
  method: 'post',
  path: `${path}/complete`,
  summary: 'Complete an action manually with an output',
  description:
    'Works like skip, but dependent actions read the provided output. For an approval with approvers, only `approved` is taken from the output.',
  body: schemas.completeRequest,
  notFound,
  answers: { 200: { description: 'Completed', schema: schemas.settledAction } },
  problems: ['already_final', 'conflict', 'unknown_action'],
});

interface Needs {
  byHand: SettleManually;
}

export const manualCompletionRoutes = endpoints([skipAction, completeAction], serve);

function serve(routes: Routes, deps: Needs): void {
  routes.serve(skipAction, async ({ params, body, caller, response }) => {
    const id = params['execution_id'] ?? '';
    const mayOverride = hasPermission(response, 'approvals:override');
    noteOverride(
      response,
      await deps.byHand.skip(caller, { runId: id, actionId: body.action_id }, { reason: body.reason, mayOverride }),
    );
    sendJson(response, 200, { execution_id: id, action_id: body.action_id, status: 'skipped', message: 'Skipped' });
  });

  routes.serve(completeAction, async ({ params, body, caller, response }) => {
    const id = params['execution_id'] ?? '';
    const { action_id: actionId, output, comment } = body;
    const mayOverride = hasPermission(response, 'approvals:override');
    noteOverride(
      response,
      await deps.byHand.complete(caller, { runId: id, actionId }, output, { reason: comment, mayOverride }),
    );
    sendJson(response, 200, { execution_id: id, action_id: body.action_id, status: 'completed', message: 'Completed' });
  });
}

/** An override is in the audit with the permission that it took. */
function noteOverride(response: Response, { overridden }: Settled): void {
  if (overridden) markPermission(response, 'approvals:override');
}
