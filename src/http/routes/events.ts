/** The events of an execution: live as Server-Sent Events, or a page of them as JSON. */

import { once } from 'node:events';
import type { Request, Response } from 'express';
import { z } from 'zod';
import { OrchestratorError } from '../../domain/errors.ts';
import { FROM_THE_START, type RunEvent, readPosition } from '../../domain/runs/run-events.ts';
import { within } from '../../engine/deliver/time-limit.ts';
import type { FollowRuns } from '../../engine/follow/follow-run.ts';
import * as schemas from '../../schemas/run-events.ts';
import type { Identify } from '../auth/identify.ts';
import { contextOf } from '../middleware/context.ts';
import type { ApiLimits } from '../middleware/limits.ts';
import { watchCredentials } from '../middleware/watch-credentials.ts';
import { liveMessageText, presentRunEvent, runEventText } from '../present/events.ts';
import type { HttpConfig } from '../server/core.ts';
import { endpoints, notFound, operation, type Routes, sendJson } from '../server/operation.ts';
import { readCursorAs, writeCursor } from '../server/paging.ts';

const STREAM = 'text/event-stream';
/** How long a client waits before it comes back. */
const RETRY_MS = 2_000;
/** Proxies close what is silent for a minute, often less. */
const HEARTBEAT_MS = 15_000;
/** A reader whose connection takes nothing for that long is let go; until then no more than one buffer waits for it. */
const PATIENCE_MS = 30_000;

export const getExecutionEvents = operation({
  id: 'getExecutionEvents',
  permission: 'executions:read',
  tag: 'Executions',
  method: 'get',
  path: '/workflows/executions/{execution_id}/events',
  summary: 'Stream the events of an execution',
  description:
    'Server-Sent Events: all events from the start, or since Last-Event-ID, followed by new events, without gaps or repetitions, even after a reconnect to another process. The stream ends after the event with which the execution ended; a client that reconnects afterwards gets 204, so that an EventSource stops. After a manual retry the stream continues with `run.retried`. A comment is sent every 15 seconds; if the credentials have expired by then, the stream ends with `stream.closed`. Progress of running tasks is sent between the events, without an id: `task.progress` `{percent, message}`, `task.output_chunk` `{n, chunk}`, `task.output_reset` (a new attempt starts over) and `task.output_truncated`; a client that connects late gets what the running attempts have reported so far. With `Accept: application/json` the response is one page. Also accepts the id of a single task.',
  query: schemas.eventsQuery,
  headers: { 'Last-Event-ID': 'The id of the last event that was received' },
  notFound: 'Execution not found',
  answers: {
    200: {
      description: 'The events',
      schema: schemas.eventStream,
      mediaType: STREAM,
      events: schemas.streamedEvents,
      others: { 'application/json': schemas.runEventList },
    },
    204: { description: 'The execution has ended, and all its events were received' },
  },
  problems: ['overloaded'],
});

/** After which there may be room for another stream. */
const FULL_SECONDS = 5;

const cursorShape = z.strictObject({ e: z.int().min(0), p: z.int().min(1) });

interface Needs {
  config: HttpConfig;
  events: FollowRuns;
  limits?: ApiLimits | undefined;
  identify: Identify;
}

export const eventRoutes = endpoints([getExecutionEvents], serve);

function serve(routes: Routes, deps: Needs): void {
  const { heartbeatMs = HEARTBEAT_MS, patienceMs = PATIENCE_MS, credentialsMs: everyMs } = deps.config.streams ?? {};

  routes.serve(getExecutionEvents, async ({ params, query, caller, request, response, signal, stream }) => {
    const executionId = params['execution_id'] ?? '';
    response.vary('Accept');
    const from = positionOf(request, query);
    if (request.accepts([STREAM, 'application/json']) === 'application/json') {
      const found = await deps.events.page(caller.tenantId, { runId: executionId, ...from, limit: query.limit });
      if (found === undefined) throw notFound('Execution not found');
      return sendJson(response, 200, pageOf(executionId, from, query.limit, found));
    }
    if (request.method === 'HEAD') {
      const found = await deps.events.page(caller.tenantId, { runId: executionId, ...from, limit: 1 });
      if (found === undefined) throw notFound('Execution not found');
      response.setHeader('Content-Type', STREAM);
      response.end();
      return undefined;
    }

    const place = deps.limits?.streams.take(caller.tenantId);
    if (deps.limits !== undefined && place === undefined) {
      throw new OrchestratorError('rate_limited', 'As many streams are open as may be', {
        retryAfterSeconds: FULL_SECONDS,
      });
    }
    let heartbeat: NodeJS.Timeout | undefined;
    const over = new AbortController();
    const opened = { request, context: contextOf(response), caller, needed: 'executions:read' as const };
    const watch = watchCredentials({ identify: deps.identify, everyMs }, opened, () => over.abort());
    const write = async <T>(items: readonly T[], text: (item: T) => string, open: AbortSignal) => {
      for (const item of items) {
        if (response.write(text(item)) || (await drained(response, patienceMs, open))) continue;
        response.destroy();
        return false;
      }
      return true;
    };
    try {
      const end = await deps.events.follow({
        tenantId: caller.tenantId,
        runId: executionId,
        after: from.after,
        signal: AbortSignal.any([signal, over.signal]),
        start() {
          stream();
          beginStream(response);
          heartbeat = setInterval(() => {
            // What waits already says that we are here, once it arrives.
            if (!response.writableNeedDrain) response.write(': still here\n\n');
          }, heartbeatMs);
        },
        take: (events, open) => write(events, (event) => runEventText(executionId, event), open),
        takeLive: (messages, open) => write(messages, (message) => liveMessageText(executionId, message), open),
      });
      if (over.signal.aborted) return endOver(response);
      if (end === 'unknown') throw notFound('Execution not found');
      if (end === 'nothing') response.status(204).end();
      else response.end();
    } finally {
      place?.release();
      watch.stop();
      clearInterval(heartbeat);
    }
    return undefined;
  });
}

/** An EventSource comes back after it, gets a 401 and stops. */
function endOver(response: Response): void {
  const detail = 'The credentials with which this stream was opened are over';
  if (!response.headersSent) throw new OrchestratorError('unauthorized', detail);
  response.end(`event: stream.closed\ndata: ${JSON.stringify({ code: 'unauthorized', message: detail })}\n\n`);
}

function positionOf(
  request: Request,
  query: { cursor?: string | undefined; last_event_id?: string | undefined },
): { after: number; page: number } {
  if (query.cursor !== undefined) {
    const { e, p } = readCursorAs(cursorShape, query.cursor);
    return { after: e, page: p };
  }
  // An EventSource that comes back has the header, and still the query with which it began.
  const header = request.get('last-event-id');
  const [path, text] =
    header === undefined || header === '' ? ['last_event_id', query.last_event_id] : ['Last-Event-ID', header];
  if (text === undefined) return { after: FROM_THE_START, page: 1 };
  const after = readPosition(text);
  if (after !== undefined) return { after, page: 1 };
  const message = 'is not the id of an event: send one as it came';
  throw new OrchestratorError('invalid_request', `${path} ${message}`, { errors: [{ path, message }] });
}

function pageOf(
  executionId: string,
  { after, page }: { after: number; page: number },
  limit: number,
  { events, progress, more }: { events: RunEvent[]; progress: { last: number; final: boolean }; more: boolean },
): object {
  const last = events.at(-1)?.id ?? after;
  return {
    items: events.map((event) => presentRunEvent(executionId, event)),
    page,
    page_size: limit,
    // `run.started` is not counted in the numbers.
    total: Math.max(progress.last, last) + (last === FROM_THE_START ? 0 : 1),
    next_cursor: more ? writeCursor({ e: last, p: page + 1 }) : null,
    last_event_id: last === FROM_THE_START ? null : String(last),
    final: progress.final && !more,
  };
}

function beginStream(response: Response): void {
  response.status(200);
  response.setHeader('Content-Type', STREAM);
  response.setHeader('Cache-Control', 'no-store, no-transform');
  // nginx would gather the events otherwise.
  response.setHeader('X-Accel-Buffering', 'no');
  // Nothing follows on this connection; the process can end as soon as the stream has.
  response.setHeader('Connection', 'close');
  response.write(`retry: ${RETRY_MS}\n\n`);
}

async function drained(response: Response, patienceMs: number, signal: AbortSignal): Promise<boolean> {
  try {
    await once(response, 'drain', { signal: within(patienceMs, signal) });
    return true;
  } catch {
    return false;
  }
}
