/** Control of executions: pausing and resuming them, and running them again from an action. */

import type { LateEffectReader } from '../../engine/ports/late-effects.ts';
import type { PauseRuns, RerunRuns } from '../../engine/ports/use-cases.ts';
import * as schemas from '../../schemas/control.ts';
import { retriedExecution } from '../../schemas/retry.ts';
import { presentLateEffect } from '../present/late-effects.ts';
import { endpoints, operation, type Routes, sendJson } from '../server/operation.ts';

const tag = 'Executions';
const notFound = 'Execution not found';
const path = '/workflows/executions/{execution_id}';

export const pauseExecution = operation({
  id: 'pauseExecution',
  permission: 'executions:control',
  tag,
  method: 'post',
  path: `${path}/pause`,
  summary: 'Pause an execution',
  description:
    'No further action of the execution is started until it is resumed; running actions continue to their end. Child executions that its actions wait for are paused too. Also accepts the id of a single task.',
  body: schemas.reasonRequest,
  bodyOptional: true,
  notFound,
  answers: { 202: { description: 'Paused', schema: schemas.controlledExecution } },
  problems: ['already_final', 'conflict'],
});

export const resumeExecution = operation({
  id: 'resumeExecution',
  permission: 'executions:control',
  tag,
  method: 'post',
  path: `${path}/resume`,
  summary: 'Resume a paused execution',
  description:
    'Waits and delays that expired during the pause end immediately; the others keep their times. Child executions that were paused with it are resumed too; an execution that was paused with its parent is resumed there.',
  body: schemas.reasonRequest,
  bodyOptional: true,
  notFound,
  answers: { 202: { description: 'Resumed', schema: schemas.controlledExecution } },
  problems: ['already_final', 'conflict'],
});

export const rerunExecution = operation({
  id: 'rerunExecution',
  permission: 'executions:control',
  tag,
  method: 'post',
  path: `${path}/rerun`,
  summary: 'Rerun an execution from one of its actions',
  description:
    'The execution must have ended. The action, all its descendants, and all actions that did not complete are executed again in a new epoch; the others keep their results. With `dry_run` the response shows which actions these are, and which of them would repeat an external effect.',
  body: schemas.rerunRequest,
  notFound,
  answers: {
    200: { description: 'The plan, with dry_run: what would be done', schema: schemas.rerunPlan },
    202: { description: 'The execution was restarted', schema: retriedExecution },
  },
  problems: ['not_retryable', 'unknown_action'],
});

interface Needs {
  lateEffects: LateEffectReader;
  pause: PauseRuns;
  rerun: RerunRuns;
}

export const controlRoutes = endpoints([pauseExecution, resumeExecution, rerunExecution], serve);

function serve(routes: Routes, deps: Needs): void {
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
      const late = await deps.lateEffects.ofRun(caller.tenantId, id);
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
        late_effects: late.map(presentLateEffect),
      });
    }
    const { status, epoch, reopened } = await deps.rerun.rerun(caller, id, request);
    sendJson(response, 202, { execution_id: id, status, epoch, reopened_actions: reopened, message: 'Run again' });
  });
}
