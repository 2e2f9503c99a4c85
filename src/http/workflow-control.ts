/** Pausing workflows and lanes, and the list of who did so. */
import type { Response } from 'express';
import { z } from 'zod';
import * as schemas from '../schemas/control.ts';
import { presentOperation } from './control-operations.ts';
import type { HttpDeps } from './deps.ts';
import type { Links } from './links.ts';
import { operation, type Routes, sendJson } from './operation.ts';
import { readCursorAs, writeCursor } from './paging.ts';
import { workflowIdOf } from './workflows.ts';

const LATER =
  'It holds at once for the workflow. Its live executions, where `runs` asks for them, are done page by page, a hundred before the answer (none while another operation of the workflow has a page in hand) and the others after it, also when this process ends: `operation` says how far.';

export const pauseWorkflow = operation({
  id: 'pauseWorkflow',
  permission: 'workflows:control',
  tag: 'Workflows',
  method: 'post',
  path: '/workflows/{workflow_id}/pause',
  summary: 'Accepts no executions of a workflow until it is resumed',
  body: schemas.workflowPauseRequest,
  bodyOptional: true,
  notFound: 'Workflow not found',
  description: LATER,
  answers: {
    202: {
      description: 'Paused',
      schema: schemas.controlledWorkflow,
      headers: { Location: 'How far it is with its executions' },
    },
  },
  problems: [400, 401, 404, 409, 413, 415],
});

export const resumeWorkflow = operation({
  id: 'resumeWorkflow',
  permission: 'workflows:control',
  tag: 'Workflows',
  method: 'post',
  path: '/workflows/{workflow_id}/resume',
  summary: 'Accepts executions of a paused workflow again',
  body: schemas.workflowResumeRequest,
  bodyOptional: true,
  notFound: 'Workflow not found',
  description: LATER,
  answers: {
    202: {
      description: 'It accepts executions',
      schema: schemas.controlledWorkflow,
      headers: { Location: 'How far it is with its executions' },
    },
  },
  problems: [400, 401, 404, 409, 413, 415],
});

export const listLanes = operation({
  id: 'listLanes',
  permission: 'system:read',
  tag: 'Infrastructure',
  method: 'get',
  path: '/lanes',
  summary: 'The lanes, one for each action type: how much waits in them, and which are paused',
  answers: { 200: { description: 'All of them', schema: schemas.laneList } },
  problems: [401],
});

export const pauseLane = operation({
  id: 'pauseLane',
  permission: 'system:control',
  tag: 'Infrastructure',
  method: 'post',
  path: '/lanes/{action_type}/pause',
  summary: 'Begins no task of an action type, in any execution of any tenant, until the lane is resumed',
  description: 'What runs goes on to its end. Holds also when the queue loses all it has.',
  body: schemas.reasonRequest,
  bodyOptional: true,
  notFound: 'Lane not found',
  answers: { 202: { description: 'Paused', schema: schemas.controlledLane } },
  problems: [400, 401, 404, 409, 413, 415],
});

export const resumeLane = operation({
  id: 'resumeLane',
  permission: 'system:control',
  tag: 'Infrastructure',
  method: 'post',
  path: '/lanes/{action_type}/resume',
  summary: 'Begins tasks of an action type again',
  body: schemas.reasonRequest,
  bodyOptional: true,
  notFound: 'Lane not found',
  answers: { 202: { description: 'It goes on', schema: schemas.controlledLane } },
  problems: [400, 401, 404, 409, 413, 415],
});

export const listControlEvents = operation({
  id: 'listControlEvents',
  permission: 'infrastructure:read',
  tag: 'Infrastructure',
  method: 'get',
  path: '/control-events',
  summary: 'Who paused and resumed workflows and lanes, newest first',
  description: 'What was done to one execution is among the events of that.',
  query: schemas.controlEventQuery,
  answers: { 200: { description: 'One page', schema: schemas.controlEventList } },
  problems: [400, 401],
});

const cursorShape = z.strictObject({ i: z.string().regex(/^\d{1,18}$/) });

export function workflowControlRoutes(routes: Routes, deps: HttpDeps, links: Links): void {
  const answer = (
    response: Response,
    id: string,
    { status, operation: found }: Awaited<ReturnType<HttpDeps['pauseWorkflows']['pause']>>,
    message: string,
  ) => {
    if (found !== undefined) response.setHeader('Location', links.operation(found.id));
    const progress = found === undefined ? {} : { operation: presentOperation(found, links) };
    sendJson(response, 202, { workflow_id: id, status, executions: found?.done ?? 0, ...progress, message });
  };

  routes.serve(pauseWorkflow, async ({ params, body, caller, response }) => {
    const id = workflowIdOf(params);
    answer(
      response,
      id,
      await deps.pauseWorkflows.pause(caller, id, { reason: body.reason, runs: body.runs }),
      'Paused',
    );
  });

  routes.serve(resumeWorkflow, async ({ params, body, caller, response }) => {
    const id = workflowIdOf(params);
    const done = await deps.pauseWorkflows.resume(caller, id, { reason: body.reason, runs: body.runs });
    answer(response, id, done, 'Resumed');
  });

  routes.serve(listLanes, async ({ caller, response }) => {
    const items = await deps.lanes.list(caller);
    sendJson(response, 200, { items, total: items.length });
  });

  routes.serve(pauseLane, async ({ params, body, caller, response }) => {
    const lane = params['action_type'] ?? '';
    await deps.lanes.pause(caller, lane, body.reason);
    sendJson(response, 202, { lane, paused: true, message: 'Paused' });
  });

  routes.serve(resumeLane, async ({ params, body, caller, response }) => {
    const lane = params['action_type'] ?? '';
    await deps.lanes.resume(caller, lane, body.reason);
    sendJson(response, 202, { lane, paused: false, message: 'Resumed' });
  });

  routes.serve(listControlEvents, async ({ query, caller, response }) => {
    const before = query.cursor === undefined ? undefined : readCursorAs(cursorShape, query.cursor).i;
    const { subject, subject_id: subjectId, limit } = query;
    const { items, more } = await deps.controlEvents.list(caller.tenantId, { subject, subjectId, before, limit });
    const last = items.at(-1);
    const next = more && last !== undefined ? writeCursor({ i: last.id }) : null;
    sendJson(response, 200, { items, next_cursor: next });
  });
}
