/** Control of executions: pausing and resuming them, running them again from an action, settling an action by hand. */
import type { Response } from 'express';
import type { Settled } from '../engine/use-cases.ts';
import * as schemas from '../schemas/control.ts';
import { retriedExecution } from '../schemas/retry.ts';
import { markPermission } from './audit-requests.ts';
import { hasPermission } from './authorise.ts';
import type { HttpDeps } from './deps.ts';
import { operation, type Routes, sendJson } from './operation.ts';

const tag = 'Executions';
const notFound = 'Execution not found';
const path = '/workflows/executions/{execution_id}';

export const pauseExecution = operation({
  id: 'pauseExecution',
  permission: 'executions:control',
  tag,
  method: 'post',
  path: `${path}/pause`,
  summary: 'Begins no further action of an execution until it is resumed',
  description:
    'What runs goes on to its end. Reaches the executions that its actions wait for. Takes the id of a single task too.',
  body: schemas.reasonRequest,
  bodyOptional: true,
  notFound,
  answers: { 202: { description: 'Paused', schema: schemas.controlledExecution } },
  problems: [400, 401, 404, 409, 413, 415],
});

export const resumeExecution = operation({
  id: 'resumeExecution',
  permission: 'executions:control',
  tag,
  method: 'post',
  path: `${path}/resume`,
  summary: 'Goes on with a paused execution',
  description:
    'Waits and delays that came due while it was paused end at once; the others keep their times. What was paused with it goes on too; an execution that is paused with the one above it is resumed there.',
  body: schemas.reasonRequest,
  bodyOptional: true,
  notFound,
  answers: { 202: { description: 'It goes on', schema: schemas.controlledExecution } },
  problems: [400, 401, 404, 409, 413, 415],
});

export const rerunExecution = operation({
  id: 'rerunExecution',
  permission: 'executions:control',
  tag,
  method: 'post',
  path: `${path}/rerun`,
  summary: 'Runs an execution that has ended again from one of its actions, in a new epoch',
  description:
    'That action, every descendant of it, and what did not complete are executed again; the others keep their results. ' +
    'With `dry_run` the answer says which actions that are, and which of them would act outside once more.',
  body: schemas.rerunRequest,
  notFound,
  answers: {
    200: { description: 'What would be done, with dry_run', schema: schemas.rerunPlan },
    202: { description: 'It goes on', schema: retriedExecution },
  },
  problems: [400, 401, 404, 409, 413, 415, 422],
});

export const skipAction = operation({
  id: 'skipAction',
  permission: 'executions:control',
  tag,
  method: 'post',
  path: `${path}/skip`,
  summary: 'Skips an action of a live execution',
  description:
    'It counts as any skipped action for what depends on it. An adapter that runs is told to stop, and what it does ' +
    'afterwards is kept as a late effect. What depends on it still waits for what the action itself waited for. ' +
    'An approval that names approvers takes the permission `approvals:override` too, and says that it was overridden.',
  body: schemas.skipRequest,
  notFound,
  answers: { 200: { description: 'Skipped', schema: schemas.settledAction } },
  problems: [400, 401, 403, 404, 409, 413, 415, 422],
});

export const completeAction = operation({
  id: 'completeAction',
  permission: 'executions:control',
  tag,
  method: 'post',
  path: `${path}/complete`,
  summary: 'Completes an action of a live execution by hand, with an output',
  description:
    'As skip; its dependents read the output that is given here. Of an approval that names approvers only `approved` is taken of it.',
  body: schemas.completeRequest,
  notFound,
  answers: { 200: { description: 'Completed', schema: schemas.settledAction } },
  problems: [400, 401, 403, 404, 409, 413, 415, 422],
});

export function controlRoutes(routes: Routes, deps: HttpDeps): void {
  routes.serve(pauseExecution, async ({ params, body, caller, response }) => {
    const id = params['execution_id'] ?? '';
    const status = await deps.pause.pauseRun(caller, id, body.reason);
    sendJson(response, 202, { execution_id: id, status, message: 'Paused' });
  });

  routes.serve(resumeExecution, async ({ params, body, caller, response }) => {
    const id = params['execution_id'] ?? '';
    const status = await deps.pause.resumeRun(caller, id, body.reason);
    sendJson(response, 202, { execution_id: id, status, message: 'Resumed' });
  });

  routes.serve(rerunExecution, async ({ params, body, caller, response }) => {
    const id = params['execution_id'] ?? '';
    const request = { actionId: body.action_id, reason: body.reason };
    if (body.dry_run) {
      const plan = await deps.rerun.planRerun(caller, id, request);
      return sendJson(response, 200, {
        execution_id: id,
        dry_run: true,
        epoch: plan.epoch,
        tenant_id: plan.tenantId,
        user_id: plan.userId,
        workflow_id: plan.workflowId,
        workflow_version: plan.workflowVersion,
        reopened_actions: plan.reopened.length,
        kept_actions: plan.kept,
        actions: plan.reopened,
        acts_again: plan.reopened.filter(({ acts_again }) => acts_again).map(({ action_id }) => action_id),
        late_effects: await deps.lateEffects.ofRun(caller.tenantId, id),
      });
    }
    const { status, epoch, reopened } = await deps.rerun.rerun(caller, id, request);
    sendJson(response, 202, { execution_id: id, status, epoch, reopened_actions: reopened, message: 'Run again' });
  });

  routes.serve(skipAction, async ({ params, body, caller, response }) => {
    const id = params['execution_id'] ?? '';
    const mayOverride = hasPermission(response, 'approvals:override');
    noteOverride(response, await deps.byHand.skip(caller, id, body.action_id, body.reason, mayOverride));
    sendJson(response, 200, { execution_id: id, action_id: body.action_id, status: 'skipped', message: 'Skipped' });
  });

  routes.serve(completeAction, async ({ params, body, caller, response }) => {
    const id = params['execution_id'] ?? '';
    const { action_id: actionId, output, comment } = body;
    const mayOverride = hasPermission(response, 'approvals:override');
    noteOverride(response, await deps.byHand.complete(caller, id, actionId, output, comment, mayOverride));
    sendJson(response, 200, { execution_id: id, action_id: body.action_id, status: 'completed', message: 'Completed' });
  });
}

/** An override is in the audit with the permission that it took. */
function noteOverride(response: Response, { overridden }: Settled): void {
  if (overridden) markPermission(response, 'approvals:override');
}
