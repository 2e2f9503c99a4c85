/** Dead letters: tasks that failed for good, to look at, to retry, to let go. */
import { z } from 'zod';
import type { DeadLetterFilter } from '../engine/dead-letters.ts';
import * as schemas from '../schemas/dead-letters.ts';
import { MAX_TASK_ID_LENGTH, taskId } from '../schemas/task-id.ts';
import type { HttpDeps } from './deps.ts';
import { type Call, notFound, type nothing, operation, type Routes, sendJson } from './operation.ts';
import { readCursorAs, writeCursor } from './paging.ts';

export const listDeadLetters = operation({
  id: 'listDeadLetters',
  permission: 'infrastructure:read',
  tag: 'Infrastructure',
  method: 'get',
  path: '/infrastructure/dlq',
  summary: 'Tasks that failed for good, newest first',
  query: schemas.deadLetterQuery,
  answers: { 200: { description: 'One page', schema: schemas.deadLetterList } },
  problems: [400, 401],
});

export const getDeadLetterStats = operation({
  id: 'getDeadLetterStats',
  permission: 'infrastructure:read',
  tag: 'Infrastructure',
  method: 'get',
  path: '/infrastructure/dlq/stats',
  summary: 'How many tasks failed for good, and since when',
  answers: { 200: { description: 'The numbers', schema: schemas.deadLetterStats } },
  problems: [401],
});

export const retryDeadLetters = operation({
  id: 'retryDeadLetters',
  permission: 'infrastructure:control',
  tag: 'Infrastructure',
  method: 'post',
  path: '/infrastructure/dlq/retry',
  summary: 'Retries the executions of failed tasks; completed tasks are not executed again',
  description:
    'Without a body: all of them. At most 1,000 executions in one request; they begin at the pace of the queue.',
  body: schemas.deadLetterRetryRequest,
  bodyOptional: true,
  answers: { 200: { description: 'How many', schema: schemas.retriedDeadLetters } },
  problems: [400, 401, 413, 415],
});

export const discardDeadLetters = operation({
  id: 'discardDeadLetters',
  permission: 'infrastructure:control',
  tag: 'Infrastructure',
  method: 'post',
  path: '/infrastructure/dlq/discard',
  summary: 'Lets failed tasks go: they are listed and counted no longer',
  description:
    'The executions stay as they are, and can still be retried one by one. At most 10,000 tasks in one request.',
  body: schemas.deadLetterDiscardRequest,
  answers: { 200: { description: 'How many', schema: schemas.discardedDeadLetters } },
  problems: [400, 401, 413, 415],
});

export const removeDeadLetter = operation({
  id: 'removeDeadLetter',
  permission: 'infrastructure:control',
  tag: 'Infrastructure',
  method: 'delete',
  path: '/infrastructure/dlq/{execution_id}/{action_id}',
  lengths: { action_id: MAX_TASK_ID_LENGTH },
  summary: 'Lets one failed task go',
  description: 'The path ends in the `event_id` as it is listed. One whose slash is written %2F is taken too.',
  notFound: 'Dead letter not found',
  answers: { 204: { description: 'Gone from the list' } },
  problems: [401, 404],
});

export const removeDeadLetterByEventId = operation({
  ...removeDeadLetter,
  id: 'removeDeadLetterByEventId',
  permission: 'infrastructure:control',
  path: '/infrastructure/dlq/{event_id}',
  lengths: { event_id: schemas.MAX_EVENT_ID_LENGTH },
  summary: 'The same, for clients that encode the whole id',
});

const cursorShape = z.strictObject({
  t: z.iso.datetime(),
  i: z.string().max(255),
  a: taskId,
  p: z.int().min(1),
});

export function deadLetterRoutes(routes: Routes, { deadLetters }: HttpDeps): void {
  routes.serve(listDeadLetters, async ({ query, caller, response }) => {
    const cursor = query.cursor === undefined ? undefined : readCursorAs(cursorShape, query.cursor);
    const after = cursor && { failedAt: new Date(cursor.t), runId: cursor.i, actionId: cursor.a };
    const page = cursor?.p ?? 1;
    const found = await deadLetters.list(caller, filterOf(query), { limit: query.limit, after });
    const last = found.items.at(-1);
    sendJson(response, 200, {
      items: found.items,
      page,
      page_size: query.limit,
      total: found.total,
      next_cursor:
        found.more && last !== undefined
          ? writeCursor({ t: last.failed_at, i: last.execution_id, a: last.action_id, p: page + 1 })
          : null,
    });
  });

  routes.serve(getDeadLetterStats, async ({ caller, response }) => {
    sendJson(response, 200, await deadLetters.stats(caller));
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
    const { discarded } = await deadLetters.discard(caller, { tasks: [taskOf(eventId)] }, false);
    if (discarded === 0) throw notFound('Dead letter not found');
    response.status(204).end();
  };
  routes.serve(removeDeadLetter, (call) =>
    remove(call, `${call.params['execution_id'] ?? ''}/${call.params['action_id'] ?? ''}`),
  );
  routes.serve(removeDeadLetterByEventId, (call) => remove(call, call.params['event_id'] ?? ''));
}

interface Wanted {
  event_ids?: string[] | undefined;
  action_type?: string | undefined;
  workflow_id?: string | undefined;
  error_code?: string | undefined;
  from?: string | undefined;
  to?: string | undefined;
}

function filterOf(wanted: Wanted): DeadLetterFilter {
  return {
    tasks: wanted.event_ids?.map(taskOf),
    actionType: wanted.action_type,
    workflowId: wanted.workflow_id,
    errorCode: wanted.error_code,
    from: wanted.from === undefined ? undefined : new Date(wanted.from),
    to: wanted.to === undefined ? undefined : new Date(wanted.to),
  };
}

/** Neither id has a slash in it. */
function taskOf(eventId: string): { runId: string; actionId: string } {
  const at = eventId.indexOf('/');
  return { runId: eventId.slice(0, at), actionId: eventId.slice(at + 1) };
}
