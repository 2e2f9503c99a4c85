/** The log of an execution: what its adapters said, as JSON, as JSON lines, or as plain text. */
import type { Response } from 'express';
import { z } from 'zod';
import { endpoints, notFound, operation, type Routes, sendJson } from '../../http/server/operation.ts';
import { readCursorAs, writeCursor } from '../../http/server/paging.ts';
import * as schemas from '../../schemas/run-logs.ts';
import type { LogEntry, LogReader } from './ports.ts';

const LINES = 'application/x-ndjson';
const TEXT = 'text/plain';
const LEVELS = schemas.logLevel.options;

export const getWorkflowExecutionLogs = operation({
  id: 'getWorkflowExecutionLogs',
  permission: 'executions:read',
  tag: 'Executions',
  method: 'get',
  path: '/workflows/executions/{execution_id}/logs',
  summary: 'Get the logs of an execution',
  description:
    'Returns the log lines of the actions, oldest first. Lines are available within a second. At most 1,000 lines of one attempt are stored, and 10,000 lines or 4 MB of one execution; `dropped` counts the others. Logs are deleted with the execution. Also accepts the id of a single task.',
  query: schemas.runLogsQuery,
  notFound: 'Execution not found',
  answers: {
    200: {
      description: 'One page of results',
      schema: schemas.runLogList,
      others: { [LINES]: schemas.runLogText, [TEXT]: schemas.runLogText },
    },
  },
});

export const getExecutionLogs = operation({
  ...getWorkflowExecutionLogs,
  id: 'getExecutionLogs',
  path: '/executions/{execution_id}/logs',
});

const position = z.strictObject({ t: z.iso.datetime(), k: z.int().min(0).max(1), i: z.string().regex(/^\d{1,18}$/) });

interface Needs {
  logs: LogReader;
}

export const runLogRoutes = endpoints([getWorkflowExecutionLogs, getExecutionLogs], serve);

function serve(routes: Routes, { logs }: Needs): void {
  for (const op of [getWorkflowExecutionLogs, getExecutionLogs]) {
    routes.serve(op, async ({ params, query, caller, request, response }) => {
      const executionId = params['execution_id'] ?? '';
      const cursor = query.cursor === undefined ? undefined : readCursorAs(position, query.cursor);
      const found = await logs.page(
        caller.tenantId,
        executionId,
        {
          actionId: query.action_id,
          levels: LEVELS.slice(LEVELS.indexOf(query.level)),
          attempt: query.attempt,
          events: query.include === 'events',
        },
        { limit: query.limit, after: cursor && { at: new Date(cursor.t), kind: cursor.k, id: cursor.i } },
      );
      if (found === undefined) throw notFound('Execution not found');
      const last = found.more ? found.entries.at(-1)?.position : undefined;
      const next = last === undefined ? null : writeCursor({ t: last.at.toISOString(), k: last.kind, i: last.id });
      const items = found.entries.map(viewOf);
      response.vary('Accept');
      switch (request.accepts(['application/json', LINES, TEXT])) {
        case LINES:
          return sendLines(
            response,
            LINES,
            next,
            items.map((item) => JSON.stringify(item)),
          );
        case TEXT:
          return sendLines(response, TEXT, next, found.entries.map(textOf));
        default:
          return sendJson(response, 200, {
            execution_id: executionId,
            items,
            next_cursor: next,
            dropped: found.dropped,
          });
      }
    });
  }
}

function viewOf({ at, level, message, actionId, attempt, epoch, fields }: LogEntry) {
  return { timestamp: at.toISOString(), level, message, action_id: actionId, attempt, epoch, fields };
}

function textOf({ at, level, message, actionId, attempt, fields }: LogEntry): string {
  const where = actionId === null ? '' : ` [${actionId}${attempt === null ? '' : `#${attempt}`}]`;
  const what = message.replaceAll(/[\r\n]+/g, ' ⏎ ');
  const more = fields === null ? '' : ` ${JSON.stringify(fields)}`;
  return `${at.toISOString()} ${(level ?? 'event').toUpperCase().padEnd(5)}${where} ${what}${more}`;
}

function sendLines(response: Response, type: string, next: string | null, lines: readonly string[]): void {
  if (response.headersSent) return;
  response.setHeader('Content-Type', `${type}; charset=utf-8`);
  response.setHeader('Cache-Control', 'no-store');
  if (next !== null) response.setHeader('X-Next-Cursor', next);
  response.end(lines.map((line) => `${line}\n`).join(''));
}
