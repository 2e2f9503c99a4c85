/** Dead letters: tasks that failed for good, to list, to retry, to discard. */

import { z } from 'zod';
import type { RejectedMessage } from '../../engine/ports/rejected-messages.ts';
import {
  type Call,
  endpoints,
  notFound,
  type nothing,
  operation,
  type Routes,
  sendJson,
} from '../../http/server/operation.ts';
import { readCursorAs, writeCursor } from '../../http/server/paging.ts';
import { MAX_TASK_ID_LENGTH, taskId } from '../../schemas/task-id.ts';
import * as schemas from './dead-letter-schemas.ts';
import { isMessage } from './dead-messages.ts';
import type { DeadLetter, DeadLetterFilter, DeadLetterStats, DeadLetters, DeadLetterWindow } from './ports.ts';

export const listDeadLetters = operation({
  id: 'listDeadLetters',
  permission: 'infrastructure:read',
  tag: 'Infrastructure',
  method: 'get',
  path: '/infrastructure/dlq',
  summary: 'List dead letters',
  description:
    'Dead letters are tasks that failed permanently, and messages that could not be taken in. The newest come first.',
  query: schemas.deadLetterQuery,
  answers: { 200: { description: 'One page of results', schema: schemas.deadLetterList } },
});

export const getDeadLetterStats = operation({
  id: 'getDeadLetterStats',
  permission: 'infrastructure:read',
  tag: 'Infrastructure',
  method: 'get',
  path: '/infrastructure/dlq/stats',
  summary: 'Get dead letter statistics',
  description: 'Shows how many tasks failed permanently, and since when.',
  answers: { 200: { description: 'The statistics', schema: schemas.deadLetterStats } },
});

export const retryDeadLetters = operation({
  id: 'retryDeadLetters',
  permission: 'infrastructure:control',
  tag: 'Infrastructure',
  method: 'post',
  path: '/infrastructure/dlq/retry',
  summary: 'Retry dead letters',
  description:
    'Retries the executions of the failed tasks; completed tasks are not executed again. Without a body, all dead letters are retried. One request retries at most 1,000 executions, which start as the queue has capacity. Messages that could not be taken in are published again.',
  body: schemas.deadLetterRetryRequest,
  bodyOptional: true,
  answers: { 200: { description: 'Number of retried tasks', schema: schemas.retriedDeadLetters } },
});

export const discardDeadLetters = operation({
  id: 'discardDeadLetters',
  permission: 'infrastructure:control',
  tag: 'Infrastructure',
  method: 'post',
  path: '/infrastructure/dlq/discard',
  summary: 'Discard dead letters',
  description:
    'Discarded tasks are no longer listed or counted. Their executions do not change, and can still be retried one by one. One request discards at most 10,000 tasks.',
  body: schemas.deadLetterDiscardRequest,
  answers: { 200: { description: 'Number of discarded tasks', schema: schemas.discardedDeadLetters } },
});

export const removeDeadLetter = operation({
  id: 'removeDeadLetter',
  permission: 'infrastructure:control',
  tag: 'Infrastructure',
  method: 'delete',
  path: '/infrastructure/dlq/{execution_id}/{action_id}',
  lengths: { action_id: MAX_TASK_ID_LENGTH },
  summary: 'Discard a dead letter',
  description: 'The end of the path is the `event_id` as it is listed. A slash encoded as %2F is accepted too.',
  notFound: 'Dead letter not found',
  answers: { 204: { description: 'Discarded' } },
});

export const removeDeadLetterByEventId = operation({
  ...removeDeadLetter,
  id: 'removeDeadLetterByEventId',
  permission: 'infrastructure:control',
  path: '/infrastructure/dlq/{event_id}',
  lengths: { event_id: schemas.MAX_EVENT_ID_LENGTH },
  summary: 'Discard a dead letter by its encoded id',
});

const place = { t: z.iso.datetime(), p: z.int().min(1) };
const cursorShape = z.union([
  z.strictObject({ ...place, i: z.string().max(255), a: taskId }),
  z.strictObject({ ...place, m: schemas.messageNumber }),
]);

interface Needs {
  deadLetters: DeadLetters;
}

export const deadLetterRoutes = endpoints(
  [
    listDeadLetters,
    getDeadLetterStats,
    retryDeadLetters,
    discardDeadLetters,
    removeDeadLetter,
    removeDeadLetterByEventId,
  ],
  serve,
);

function serve(routes: Routes, { deadLetters }: Needs): void {
  routes.serve(listDeadLetters, async ({ query, caller, response }) => {
    const cursor = query.cursor === undefined ? undefined : readCursorAs(cursorShape, query.cursor);
    const after = cursor && afterOf(cursor);
    const page = cursor?.p ?? 1;
    const found = await deadLetters.list(caller, filterOf(query), { limit: query.limit, after });
    const last = found.items.at(-1);
    sendJson(response, 200, {
      items: found.items.map((letter) => (isMessage(letter) ? messageJson(letter) : deadLetterJson(letter))),
      page,
      page_size: query.limit,
      total: found.total,
      next_cursor: found.more && last !== undefined ? writeCursor({ ...placeOf(last), p: page + 1 }) : null,
    });
  });

  routes.serve(getDeadLetterStats, async ({ caller, response }) => {
    sendJson(response, 200, statsJson(await deadLetters.stats(caller)));
  });

  routes.serve(retryDeadLetters, async ({ body, caller, response }) => {
    const filter = { ...filterOf(body), retriedBelow: body.max_retries };
    const { retried, total } = await deadLetters.retry(caller, filter, body.dry_run);
    sendJson(response, 200, { retried_events: retried, total_events: total, dry_run: body.dry_run });
  });

  routes.serve(discardDeadLetters, async ({ body, caller, response }) => {
    const { discarded, total } = await deadLetters.discard(caller, filterOf(body), body.dry_run);
    sendJson(response, 200, { discarded_events: discarded, total_events: total, dry_run: body.dry_run });
  });

  const remove = async ({ caller, response }: Call<typeof nothing, typeof nothing>, eventId: string) => {
    const { discarded } = await deadLetters.discard(caller, selectedBy([eventId]), false);
    if (discarded === 0) throw notFound('Dead letter not found');
    response.status(204).end();
  };
  routes.serve(removeDeadLetter, (call) =>
    remove(call, `${call.params['execution_id'] ?? ''}/${call.params['action_id'] ?? ''}`),
  );
  routes.serve(removeDeadLetterByEventId, (call) => remove(call, call.params['event_id'] ?? ''));
}

function deadLetterJson(letter: DeadLetter): schemas.DeadLetter {
  return {
    event_id: `${letter.runId}/${letter.actionId}`,
    execution_id: letter.runId,
    action_id: letter.actionId,
    action_type: letter.actionType,
    workflow_id: letter.workflowId,
    workflow_version: letter.workflowVersion,
    error: letter.error,
    attempts: letter.attempts,
    retries: letter.epoch - 1,
    retryable: letter.retryable,
    execution_status: letter.runStatus,
    correlation_id: letter.correlationId,
    trace_id: letter.traceId,
    failed_at: letter.finishedAt.toISOString(),
    message: null,
  };
}

function statsJson({ failed, retryable, retried, oldest, newest }: DeadLetterStats): schemas.DeadLetterStats {
  return {
    total_events: failed + retried,
    failed_events: failed,
    retryable_events: retryable,
    retried_events: retried,
    oldest_event: oldest?.toISOString() ?? null,
    newest_event: newest?.toISOString() ?? null,
  };
}

interface FilterQuery {
  event_ids?: string[] | undefined;
  action_type?: string | undefined;
  workflow_id?: string | undefined;
  error_code?: string | undefined;
  from?: string | undefined;
  to?: string | undefined;
}

function filterOf(query: FilterQuery): DeadLetterFilter {
  return {
    ...(query.event_ids === undefined ? {} : selectedBy(query.event_ids)),
    actionType: query.action_type,
    workflowId: query.workflow_id,
    errorCode: query.error_code,
    from: query.from === undefined ? undefined : new Date(query.from),
    to: query.to === undefined ? undefined : new Date(query.to),
  };
}

const MESSAGE_PREFIX = 'message:';

/** An id of a task has a slash. What is the id of neither selects nothing. */
function selectedBy(eventIds: readonly string[]): Required<Pick<DeadLetterFilter, 'tasks' | 'messages'>> {
  return {
    tasks: eventIds.filter((eventId) => eventId.includes('/')).map(taskOf),
    messages: eventIds.flatMap((eventId) => {
      const number = eventId.startsWith(MESSAGE_PREFIX) ? eventId.slice(MESSAGE_PREFIX.length) : '';
      return schemas.messageNumber.safeParse(number).success ? [number] : [];
    }),
  };
}

type Cursor = z.output<typeof cursorShape>;

function afterOf(cursor: Cursor): DeadLetterWindow['after'] {
  const failedAt = new Date(cursor.t);
  return 'm' in cursor ? { failedAt, messageId: cursor.m } : { failedAt, runId: cursor.i, actionId: cursor.a };
}

function placeOf(letter: DeadLetter | RejectedMessage): { t: string } & ({ i: string; a: string } | { m: string }) {
  if (isMessage(letter)) return { t: letter.failedAt.toISOString(), m: letter.id };
  return { t: letter.finishedAt.toISOString(), i: letter.runId, a: letter.actionId };
}

/** What is of a task is null. */
function messageJson(letter: RejectedMessage): schemas.DeadLetter {
  const { topic, partition, offset, key, headers, originalBase64 } = letter;
  return {
    event_id: `${MESSAGE_PREFIX}${letter.id}`,
    execution_id: null,
    action_id: null,
    action_type: null,
    workflow_id: null,
    workflow_version: null,
    error: { code: letter.code, message: letter.error },
    attempts: 1,
    retries: 0,
    retryable: letter.retryable,
    execution_status: null,
    correlation_id: null,
    trace_id: null,
    failed_at: letter.failedAt.toISOString(),
    message: { topic, partition, offset, key, headers, original_base64: originalBase64 },
  };
}

/** The id of a run may have slashes, that of a task has none. */
function taskOf(eventId: string): { runId: string; actionId: string } {
  const at = eventId.lastIndexOf('/');
  return { runId: eventId.slice(0, at), actionId: eventId.slice(at + 1) };
}
