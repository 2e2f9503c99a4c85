/** The log of events: to read, to replay, to clear. */

import { z } from 'zod';
import { endpoints, operation, type Routes, sendJson } from '../../http/server/operation.ts';
import { readCursorAs, writeCursor } from '../../http/server/paging.ts';
import type { EventLog } from './event-log.ts';
import type { EventFilter, LoggedEvent } from './event-log-ports.ts';
import * as schemas from './event-log-schemas.ts';

const tag = 'Infrastructure';
const REPLAYED = 1_000;

export const getEventHistory = operation({
  id: 'getEventHistory',
  permission: 'infrastructure:read',
  tag,
  method: 'get',
  path: '/infrastructure/events/history',
  summary: 'List events of all executions and of the platform',
  description:
    'Covers the 10,000 newest executions, or any execution with `execution_id` or `correlation_id`. The newest events come first, and cleared events are omitted.',
  query: schemas.eventHistoryQuery,
  answers: { 200: { description: 'One page of results', schema: schemas.eventHistory } },
});

export const replayEvents = operation({
  id: 'replayEvents',
  permission: 'infrastructure:control',
  tag,
  method: 'post',
  path: '/infrastructure/events/replay',
  summary: 'Replay events to a webhook, a stream or a workflow',
  description:
    'An execution of the action `replay_events` sends the events, oldest first, and retries failures: each event is delivered at least once, with its original id.',
  body: schemas.replayRequest,
  bodyOptional: true,
  answers: { 200: { description: 'The events, and the execution that replays them', schema: schemas.replayed } },
});

export const clearEvents = operation({
  id: 'clearEvents',
  permission: 'infrastructure:write',
  tag,
  method: 'post',
  path: '/infrastructure/events/clear',
  summary: 'Clear the event history',
  description:
    'Existing events no longer appear in the history and in replays. Nothing is deleted: executions keep their events, and webhooks, streams and readers still get their pending events. The first event of the new history records the clearing. Requires the administrator role where roles are in use.',
  body: schemas.clearRequest,
  bodyOptional: true,
  answers: { 200: { description: 'Number of cleared events', schema: schemas.cleared } },
  problems: ['conflict'],
});

const cursorShape = z.strictObject({ e: z.string().regex(/^\d{1,18}$/) });

interface Needs {
  eventLog: EventLog;
}

export const eventLogRoutes = endpoints([getEventHistory, replayEvents, clearEvents], serve);

function serve(routes: Routes, { eventLog }: Needs): void {
  routes.serve(getEventHistory, async ({ query, caller, response }) => {
    const before = query.cursor === undefined ? undefined : readCursorAs(cursorShape, query.cursor).e;
    const filter = {
      kinds: query.event_type === undefined ? undefined : [query.event_type],
      correlationId: query.correlation_id,
      runId: query.execution_id,
      from: dateOf(query.from),
      to: dateOf(query.to),
    };
    const { events, total, more } = await eventLog.history(caller, filter, { limit: query.limit, before });
    const last = events.at(-1);
    sendJson(response, 200, {
      events: events.map(present),
      count: events.length,
      total,
      next_cursor: more && last !== undefined ? writeCursor({ e: last.id }) : null,
    });
  });

  routes.serve(replayEvents, async ({ body, caller, response }) => {
    const filter: EventFilter = {
      kinds: body.event_types ?? undefined,
      correlationId: body.correlation_id ?? undefined,
      runId: body.execution_id ?? undefined,
      from: dateOf(body.start_time),
      to: dateOf(body.end_time),
    };
    const request = { limit: body.limit ?? REPLAYED, target: body.target ?? undefined };
    const { ids, target, executionId } = await eventLog.replay(caller, filter, request);
    sendJson(response, 200, {
      replayed_events: ids,
      count: ids.length,
      target,
      execution_id: executionId ?? null,
    });
  });

  routes.serve(clearEvents, async ({ body, caller, response }) => {
    const named = [...(body.event_types ?? []), ...(body.event_type == null ? [] : [body.event_type])];
    const filter = {
      kinds: named.length === 0 ? undefined : named,
      correlationId: body.correlation_id ?? undefined,
    };
    sendJson(response, 200, { status: 'cleared', cleared_count: await eventLog.clear(caller, filter) });
  });
}

function dateOf(text: string | null | undefined): Date | undefined {
  return text === null || text === undefined ? undefined : new Date(text);
}

function present({ id, kind, correlationId, at, traceId, runId, data }: LoggedEvent): schemas.LoggedEventView {
  return {
    event_id: id,
    event_type: kind,
    correlation_id: correlationId,
    timestamp: at.toISOString(),
    trace_id: traceId,
    execution_id: runId,
    data,
  };
}
