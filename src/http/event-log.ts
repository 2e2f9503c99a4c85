/** The log of events: to read, to tell somebody once more, to begin a clean page. */
import { z } from 'zod';
import type { EventFilter, LoggedEvent } from '../engine/event-log-ports.ts';
import * as schemas from '../schemas/event-log.ts';
import type { HttpDeps } from './deps.ts';
import { operation, type Routes, sendJson } from './operation.ts';
import { readCursorAs, writeCursor } from './paging.ts';

const tag = 'Infrastructure';
const REPLAYED = 1_000;

export const getEventHistory = operation({
  id: 'getEventHistory',
  permission: 'infrastructure:read',
  tag,
  method: 'get',
  path: '/infrastructure/events/history',
  summary: 'Events of all executions and of the platform, newest first',
  description:
    'Those of the 10,000 newest executions; with `execution_id` or `correlation_id` of any. What was cleared is left out.',
  query: schemas.eventHistoryQuery,
  answers: { 200: { description: 'One page', schema: schemas.eventHistory } },
  problems: [400, 401],
});

export const replayEvents = operation({
  id: 'replayEvents',
  permission: 'infrastructure:control',
  tag,
  method: 'post',
  path: '/infrastructure/events/replay',
  summary: 'Tells a webhook, a stream or a workflow of events once more',
  description:
    'An execution of the action `replay_events` does it, oldest first, and tries again what fails: each event is told at ' +
    'least once, under the id that it always had.',
  body: schemas.replayRequest,
  bodyOptional: true,
  answers: { 200: { description: 'Which ones, and what does it', schema: schemas.replayed } },
  problems: [400, 401, 413, 415],
});

export const clearEvents = operation({
  id: 'clearEvents',
  permission: 'infrastructure:write',
  tag,
  method: 'post',
  path: '/infrastructure/events/clear',
  summary: 'Begins a clean page: what there is by now is in no history and no replay any more',
  description:
    'Nothing is deleted: executions keep their events, and webhooks, streams and readers get what they are owed. ' +
    'That it was cleared is the first event of the new page. Needs the role of an administrator where there are roles.',
  body: schemas.clearRequest,
  bodyOptional: true,
  answers: { 200: { description: 'How many', schema: schemas.cleared } },
  problems: [400, 401, 403, 409, 413, 415],
});

const cursorShape = z.strictObject({ e: z.string().regex(/^\d{1,18}$/) });

export function eventLogRoutes(routes: Routes, { eventLog }: HttpDeps): void {
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
