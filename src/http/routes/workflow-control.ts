/** Pausing workflows and lanes, and the list of who did so. */

import type { Response } from 'express';
import { z } from 'zod';
import type { ControlEventReader } from '../../engine/ports/read-models.ts';
import type { Lanes, PauseWorkflows } from '../../engine/ports/use-cases.ts';
import * as schemas from '../../schemas/control.ts';
import { presentControlEvent } from '../present/control.ts';
import type { Links } from '../server/links.ts';
import { endpoints, operation, type Routes, sendJson } from '../server/operation.ts';
import { readCursorAs, writeCursor } from '../server/paging.ts';
import { presentOperation } from './control-operations.ts';
import { workflowIdOf } from './workflows.ts';

const LATER =
  'This takes effect immediately for the workflow. If `runs` includes live executions, they are processed in pages: up to a hundred before the response (none while another operation of the workflow is processing a page) and the others afterwards, even if this process ends. `operation` shows the progress.';

export const pauseWorkflow = operation({
  id: 'pauseWorkflow',
  permission: 'workflows:control',
  tag: 'Workflows',
  method: 'post',
  path: '/workflows/{workflow_id}/pause',
  summary: 'Pause a workflow',
  body: schemas.workflowPauseRequest,
  bodyOptional: true,
  notFound: 'Workflow not found',
  description: `The workflow accepts no executions until it is resumed. ${LATER}`,
  answers: {
    202: {
      description: 'Paused',
      schema: schemas.controlledWorkflow,
      headers: { Location: 'URL of the operation, which shows the progress on the executions' },
    },
  },
  problems: ['conflict'],
});

export const resumeWorkflow = operation({
  id: 'resumeWorkflow',
  permission: 'workflows:control',
  tag: 'Workflows',
  method: 'post',
  path: '/workflows/{workflow_id}/resume',
  summary: 'Resume a paused workflow',
  body: schemas.workflowResumeRequest,
  bodyOptional: true,
  notFound: 'Workflow not found',
  description: `The workflow accepts executions again. ${LATER}`,
  answers: {
    202: {
      description: 'Resumed',
      schema: schemas.controlledWorkflow,
      headers: { Location: 'URL of the operation, which shows the progress on the executions' },
    },
  },
  problems: ['conflict'],
});

export const listLanes = operation({
  id: 'listLanes',
  permission: 'system:read',
  tag: 'Infrastructure',
  method: 'get',
  path: '/lanes',
  summary: 'List lanes',
  description: 'There is one lane for each action type. Shows the number of waiting jobs, and which lanes are paused.',
  answers: { 200: { description: 'All lanes', schema: schemas.laneList } },
});

export const pauseLane = operation({
  id: 'pauseLane',
  permission: 'system:control',
  tag: 'Infrastructure',
  method: 'post',
  path: '/lanes/{action_type}/pause',
  summary: 'Pause a lane',
  description:
    'No task of the action type is started, in any execution of any tenant, until the lane is resumed. Running tasks continue to their end. The pause persists even if the queue loses all its data.',
  body: schemas.reasonRequest,
  bodyOptional: true,
  notFound: 'Lane not found',
  answers: { 202: { description: 'Paused', schema: schemas.controlledLane } },
  problems: ['conflict'],
});

export const resumeLane = operation({
  id: 'resumeLane',
  permission: 'system:control',
  tag: 'Infrastructure',
  method: 'post',
  path: '/lanes/{action_type}/resume',
  summary: 'Resume a paused lane',
  description: 'Tasks of the action type are started again.',
  body: schemas.reasonRequest,
  bodyOptional: true,
  notFound: 'Lane not found',
  answers: { 202: { description: 'Resumed', schema: schemas.controlledLane } },
  problems: ['conflict'],
});

export const listControlEvents = operation({
  id: 'listControlEvents',
  permission: 'infrastructure:read',
  tag: 'Infrastructure',
  method: 'get',
  path: '/control-events',
  summary: 'List pauses and resumes of workflows and lanes',
  description:
    'Shows who paused and resumed them, newest first. Changes to a single execution are among the events of that execution.',
  query: schemas.controlEventQuery,
  answers: { 200: { description: 'One page of results', schema: schemas.controlEventList } },
});

const cursorShape = z.strictObject({ i: z.string().regex(/^\d{1,18}$/) });

interface Needs {
  controlEvents: ControlEventReader;
  lanes: Lanes;
  pauseWorkflows: PauseWorkflows;
  links: Links;
}

export const workflowControlRoutes = endpoints(
  [pauseWorkflow, resumeWorkflow, listLanes, pauseLane, resumeLane, listControlEvents],
  serve,
);

function serve(routes: Routes, deps: Needs): void {
  const { links } = deps;
  const answer = (
    response: Response,
    id: string,
    { status, operation: found }: Awaited<ReturnType<PauseWorkflows['pause']>>,
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
    sendJson(response, 200, { items: items.map(presentControlEvent), next_cursor: next });
  });
}
