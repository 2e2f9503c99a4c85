/** Schedules: workflows that run by themselves. */

import { idempotencyKey, setReplayHeaders } from '../../http/server/idempotency.ts';
import type { Links } from '../../http/server/links.ts';
import { endpoints, operation, type Routes, sendJson } from '../../http/server/operation.ts';
import { pageOf } from '../../http/server/paging.ts';
import { ACCEPTING } from '../../http/server/problem-codes.ts';
import { emptyBody } from '../../schemas/requests.ts';
import type { Schedules, ScheduleView } from './manage-schedules.ts';
import * as schemas from './schemas.ts';

const tag = 'Schedules';
const notFound = 'Schedule not found';

export const createSchedule = operation({
  id: 'createSchedule',
  permission: 'schedules:write',
  tag,
  method: 'post',
  path: '/schedules',
  summary: 'Create a schedule',
  description:
    'A schedule executes a workflow by a cron expression, at an interval, or once. Every slot starts exactly one execution, regardless of the number of workers or a loss of the queue. The executions have the id of the schedule as their correlation_id.',
  body: schemas.scheduleRequest,
  answers: {
    201: { description: 'Created', schema: schemas.schedule, headers: { Location: 'URL of the created resource' } },
  },
  problems: ['conflict', 'definition_invalid', 'parameter_validation_failed'],
});

export const listSchedules = operation({
  id: 'listSchedules',
  permission: 'schedules:read',
  tag,
  method: 'get',
  path: '/schedules',
  summary: 'List schedules',
  description: 'The newest schedules come first.',
  query: schemas.scheduleListQuery,
  answers: { 200: { description: 'One page of results', schema: schemas.scheduleList } },
});

export const getSchedule = operation({
  id: 'getSchedule',
  permission: 'schedules:read',
  tag,
  method: 'get',
  path: '/schedules/{schedule_id}',
  summary: 'Get a schedule',
  description: 'Returns the schedule with its next ten run times and the results of its last slots.',
  notFound,
  answers: { 200: { description: 'The schedule', schema: schemas.schedule } },
});

export const updateSchedule = operation({
  id: 'updateSchedule',
  permission: 'schedules:write',
  tag,
  method: 'put',
  path: '/schedules/{schedule_id}',
  summary: 'Update a schedule',
  description:
    'Accepts any subset of the fields. A new timing replaces the old one and counts from now; slots that were due before are not caught up.',
  body: schemas.scheduleUpdate,
  notFound,
  answers: { 200: { description: 'Updated', schema: schemas.schedule } },
  problems: ['conflict', 'definition_invalid', 'parameter_validation_failed'],
});

export const deleteSchedule = operation({
  id: 'deleteSchedule',
  permission: 'schedules:write',
  tag,
  method: 'delete',
  path: '/schedules/{schedule_id}',
  summary: 'Delete a schedule',
  description: 'Its executions are retained, and those in progress continue.',
  notFound,
  answers: { 204: { description: 'Deleted' } },
});

export const pauseSchedule = operation({
  id: 'pauseSchedule',
  permission: 'schedules:control',
  tag,
  method: 'post',
  path: '/schedules/{schedule_id}/pause',
  summary: 'Pause a schedule',
  description: 'No execution is started until the schedule is resumed; executions in progress continue.',
  body: emptyBody,
  bodyOptional: true,
  notFound,
  answers: { 200: { description: 'Paused', schema: schemas.schedule } },
});

export const resumeSchedule = operation({
  id: 'resumeSchedule',
  permission: 'schedules:control',
  tag,
  method: 'post',
  path: '/schedules/{schedule_id}/resume',
  summary: 'Resume a paused schedule',
  description: 'The schedule continues with the next slot; slots missed during the pause are not caught up.',
  body: emptyBody,
  bodyOptional: true,
  notFound,
  answers: { 200: { description: 'Resumed', schema: schemas.schedule } },
});

export const triggerSchedule = operation({
  id: 'triggerSchedule',
  permission: 'executions:run',
  tag,
  method: 'post',
  path: '/schedules/{schedule_id}/trigger',
  summary: 'Trigger a schedule now',
  description: 'An execution is started regardless of the overlap policy, even while the schedule is paused.',
  body: emptyBody,
  bodyOptional: true,
  headers: { 'Idempotency-Key': 'A repeated request with the same key starts no further execution' },
  notFound,
  answers: {
    202: { description: 'Accepted', schema: schemas.triggeredSchedule, headers: { Location: 'URL of the execution' } },
  },
  problems: [...ACCEPTING],
});

interface Needs {
  schedules: Schedules;
  links: Links;
}

export const scheduleRoutes = endpoints(
  [
    createSchedule,
    listSchedules,
    getSchedule,
    updateSchedule,
    deleteSchedule,
    pauseSchedule,
    resumeSchedule,
    triggerSchedule,
  ],
  serve,
);

function serve(routes: Routes, { schedules, links }: Needs): void {
  routes.serve(createSchedule, async ({ body, caller, response }) => {
    const created = await schedules.create(caller, body);
    response.setHeader('Location', links.at(`/schedules/${created.schedule.id}`));
    sendJson(response, 201, present(created));
  });

  routes.serve(listSchedules, async ({ query, caller, response }) => {
    const { page, page_size: pageSize, workflow_id: workflowId, paused } = query;
    const { items, total } = await schedules.list(caller, { page, pageSize, workflowId, paused });
    sendJson(response, 200, { items: items.map(summarise), ...pageOf(page, pageSize, total) });
  });

  routes.serve(getSchedule, async ({ params, caller, response }) => {
    sendJson(response, 200, present(await schedules.get(caller, idOf(params))));
  });

  routes.serve(updateSchedule, async ({ params, body, caller, response }) => {
    sendJson(response, 200, present(await schedules.update(caller, idOf(params), body)));
  });

  routes.serve(deleteSchedule, async ({ params, caller, response }) => {
    await schedules.remove(caller, idOf(params));
    response.status(204).end();
  });

  routes.serve(pauseSchedule, async ({ params, caller, response }) => {
    sendJson(response, 200, present(await schedules.setPaused(caller, idOf(params), true)));
  });

  routes.serve(resumeSchedule, async ({ params, caller, response }) => {
    sendJson(response, 200, present(await schedules.setPaused(caller, idOf(params), false)));
  });

  routes.serve(triggerSchedule, async ({ params, caller, request, response }) => {
    const id = idOf(params);
    const run = await schedules.trigger(caller, id, idempotencyKey(request));
    setReplayHeaders(response, run);
    response.setHeader('Location', links.execution(run.id));
    sendJson(response, 202, {
      schedule_id: id,
      execution_id: run.id,
      workflow_version: run.workflowVersion,
      status: run.status,
    });
  });
}

function idOf(params: Record<string, string>): string {
  return params['schedule_id'] ?? '';
}

const iso = (moment: number) => new Date(moment).toISOString();

function summarise({ schedule, nextRuns }: ScheduleView): schemas.ScheduleSummary {
  const { timing } = schedule;
  const [next] = nextRuns;
  return {
    schedule_id: schedule.id,
    name: schedule.name,
    workflow_id: schedule.workflowId,
    parameters: schedule.parameters,
    cron: 'cron' in timing ? timing.cron : null,
    interval_seconds: 'intervalSeconds' in timing ? timing.intervalSeconds : null,
    at: 'atMs' in timing ? iso(timing.atMs) : null,
    timezone: schedule.timezone,
    overlap: schedule.overlap,
    catchup_window_seconds: schedule.catchupSeconds,
    jitter_seconds: schedule.jitterSeconds,
    paused: schedule.paused,
    pause_reason: schedule.pauseReason,
    next_run: next === undefined ? null : iso(next),
    created_by: schedule.createdBy,
    created_at: schedule.createdAt.toISOString(),
    updated_at: schedule.updatedAt.toISOString(),
  };
}

function present(view: ScheduleView): schemas.ScheduleAnswer {
  return {
    ...summarise(view),
    next_runs: view.nextRuns.map(iso),
    recent: view.recent.map(({ slot, kind, status, reason, runId }) => ({
      slot: iso(slot),
      kind,
      status,
      reason,
      execution_id: runId,
    })),
  };
}
