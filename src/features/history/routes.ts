/** What has happened: the executions of workflows with their steps, and who did what. */

import { z } from 'zod';
import { isoText } from '../../domain/texts/iso-text.ts';
import type { RunReader } from '../../engine/ports/read-models.ts';
import { endpoints, operation, type Routes, sendJson } from '../../http/server/operation.ts';
import { readCursorAs, writeCursor } from '../../http/server/paging.ts';
import type { Activity, ActivityPosition, ActivityReader, HistoryReader, StoredStep } from './ports.ts';
import * as schemas from './schemas.ts';

const tag = 'Workflows';

export const getHistory = operation({
  id: 'getWorkflowHistory',
  permission: 'executions:read',
  tag,
  method: 'get',
  path: '/workflows/history',
  summary: 'List workflow executions with their steps',
  description: 'The newest executions come first.',
  query: schemas.historyQuery,
  answers: { 200: { description: 'One page of results', schema: schemas.history } },
});

export const getActivity = operation({
  id: 'getWorkflowActivity',
  permission: 'executions:read',
  tag,
  method: 'get',
  path: '/workflows/activity',
  summary: 'List workflow activity',
  description: 'Shows who changed, paused, resumed and executed workflows, newest first.',
  query: schemas.activityQuery,
  answers: { 200: { description: 'One page of results', schema: schemas.activity } },
});

const historyCursor = z.strictObject({ t: z.iso.datetime(), i: z.string().min(1).max(255) });
const activityCursor = z.strictObject({
  c: z
    .string()
    .regex(/^\d{1,18}$/)
    .optional(),
  t: z.iso.datetime().optional(),
  i: z.string().min(1).max(255).optional(),
});

interface Needs {
  activity: ActivityReader;
  history: HistoryReader;
  runs: RunReader;
}

export const workflowHistoryRoutes = endpoints([getHistory, getActivity], serve);

function serve(routes: Routes, deps: Needs): void {
  routes.serve(getHistory, async ({ query, caller, response }) => {
    const at = query.cursor === undefined ? undefined : readCursorAs(historyCursor, query.cursor);
    const found = await deps.runs.list(
      caller.tenantId,
      {
        ofWorkflows: true,
        workflowId: query.workflow_id,
        correlationId: query.correlation_id,
        status: query.status,
        workflowTag: query.tag,
        userId: query.created_by,
        from: query.from === undefined ? undefined : new Date(query.from),
        to: query.to === undefined ? undefined : new Date(query.to),
      },
      { limit: query.limit, skip: 0, after: at && { createdAt: new Date(at.t), id: at.i } },
    );
    const steps = await deps.history.steps(found.items);
    const items = found.items.map((run): schemas.HistoryItem => {
      const { steps: first, total } = steps.get(run.id) ?? { steps: [], total: 0 };
      return {
        correlation_id: run.correlationId,
        execution_id: run.id,
        workflow_id: run.workflowId,
        workflow_version: run.workflowVersion,
        status: run.status,
        start_time: isoText(run.startedAt ?? run.createdAt),
        end_time: isoText(run.finishedAt),
        steps: first.map(presentStep),
        steps_total: total,
      };
    });
    const last = found.items.at(-1);
    const next = found.more && last !== undefined ? writeCursor({ t: isoText(last.createdAt), i: last.id }) : null;
    sendJson(response, 200, { items, total: found.total, next_cursor: next });
  });

  routes.serve(getActivity, async ({ query, caller, response }) => {
    const { items, next } = await deps.activity.list(caller.tenantId, {
      userId: query.user_id,
      limit: query.limit,
      after: positionOf(query.cursor),
    });
    sendJson(response, 200, {
      activities: items.map(presentActivity),
      next_cursor: next === undefined ? null : cursorOf(next),
    });
  });
}

function positionOf(cursor: string | undefined): ActivityPosition {
  const { c, t, i } = cursor === undefined ? {} : readCursorAs(activityCursor, cursor);
  return { change: c, execution: t === undefined || i === undefined ? undefined : { createdAt: new Date(t), id: i } };
}

function cursorOf({ change, execution }: ActivityPosition): string {
  return writeCursor({
    ...(change === undefined ? {} : { c: change }),
    ...(execution === undefined ? {} : { t: isoText(execution.createdAt), i: execution.id }),
  });
}

function presentStep({ actionId, op, source, status, startedAt, finishedAt }: StoredStep): schemas.HistoryStep {
  return { action_id: actionId, op, source, status, start_time: isoText(startedAt), end_time: isoText(finishedAt) };
}

function presentActivity(one: Activity): schemas.ActivityEntry {
  if ('change' in one) {
    const { id, subject, subjectId, kind, by, reason, data, at } = one.change;
    const details = { [`${subject}_id`]: subjectId, ...(reason === null ? {} : { reason }), ...data };
    return { id: `change-${id}`, type: kind, timestamp: isoText(at), user_id: by, details };
  }
  const { start } = one;
  return {
    id: `execution-${start.id}`,
    type: 'execution.started',
    timestamp: isoText(start.createdAt),
    user_id: start.userId,
    details: {
      execution_id: start.id,
      workflow_id: start.workflowId,
      workflow_version: start.workflowVersion,
      workflow_name: start.workflowName,
      status: start.status,
      correlation_id: start.correlationId,
      finished_at: isoText(start.finishedAt),
    },
  };
}
