/** The simple door: one task at a time, or many, and their results. */
import { createHash } from 'node:crypto';
import { OrchestratorError } from '../domain/errors.ts';
import type { AcceptedRun, ItemFault, TaskRequest } from '../engine/use-cases.ts';
import * as answers from '../schemas/answers.ts';
import { parseWith } from '../schemas/faults.ts';
import { resultQuery, taskListDocument, taskListRequest, taskRequest } from '../schemas/requests.ts';
import { hasPermission, missing, requireAccess } from './authorise.ts';
import type { HttpDeps } from './deps.ts';
import { idempotencyKey, refuseIdempotencyKey, tellReplay } from './idempotency.ts';
import type { Links } from './links.ts';
import { notFound, operation, type Routes, sendJson } from './operation.ts';
import { detailOf } from './parse.ts';
import { itemError } from './problem.ts';

export const assignTask = operation({
  id: 'assignTask',
  permission: 'executions:run',
  tag: 'Tasks',
  method: 'post',
  path: '/assign-task',
  summary: 'Begins one task',
  description:
    '`task_type` names an action type, which takes the permission `executions:assign` too, or, failing that, a workflow, which is run with `params`.',
  body: taskRequest,
  headers: { 'Idempotency-Key': 'The same key and body answer the first task again; with another body 409' },
  answers: {
    202: { description: 'Accepted', schema: answers.assignedTask, headers: { Location: 'Where its result is' } },
  },
  problems: [400, 401, 403, 404, 409, 413, 415, 422, 429],
});

export const assignTasks = operation({
  id: 'assignTasks',
  permission: 'executions:run',
  tag: 'Tasks',
  method: 'post',
  path: '/assign-tasks',
  summary: 'Begins up to 1,000 tasks',
  description:
    'Every item is answered in the order sent; one bad item does not sink the rest. An action type takes the permission `executions:assign` too.',
  body: taskListRequest,
  bodyDocument: taskListDocument,
  answers: { 202: { description: 'Every item by itself', schema: answers.assignedTasks } },
  problems: [400, 401, 413, 415, 429],
});

export const getResult = operation({
  id: 'getResult',
  permission: 'executions:read',
  tag: 'Tasks',
  method: 'get',
  path: '/result/{task_id}',
  summary: 'The result of a task',
  description: 'A failed task answers 200 as well. `wait` answers as soon as the task ends.',
  query: resultQuery,
  headers: { 'If-None-Match': 'The ETag of the answer before' },
  notFound: 'Task not found',
  answers: {
    200: {
      description: 'How far it is',
      schema: answers.taskResult,
      headers: { ETag: 'Changes when the answer does' },
    },
    304: { description: 'Nothing has changed' },
  },
  problems: [400, 401, 404],
});

export const listTasks = operation({
  id: 'listTasks',
  permission: 'authenticated',
  tag: 'Tasks',
  method: 'get',
  path: '/tasks',
  summary: 'The names that `task_type` takes',
  answers: { 200: { description: 'The names', schema: answers.availableTasks } },
  problems: [401],
});

export const listActionTypes = operation({
  id: 'listActionTypes',
  permission: 'authenticated',
  tag: 'Tasks',
  method: 'get',
  path: '/action-types',
  summary: 'The action types with the JSON Schemas of their configuration and output',
  answers: { 200: { description: 'The action types', schema: answers.actionTypeList } },
  problems: [401],
});

export function taskRoutes(routes: Routes, deps: HttpDeps, links: Links): void {
  /** It says itself what is to be done; a workflow was written by somebody who may. */
  const isTask = ({ task_type: type }: Pick<TaskRequest, 'task_type'>) =>
    deps.actionTypes.canonical(type) !== undefined;

  routes.serve(assignTask, async ({ body, caller, request, response }) => {
    if (isTask(body)) requireAccess(response, 'executions:assign');
    const run = await deps.accept.acceptTask(caller, body, idempotencyKey(request));
    tellReplay(response, run);
    response.setHeader('Location', links.result(run.id));
    sendJson(response, 202, {
      task_id: run.id,
      status: 'assigned',
      message: `Task '${body.task_type}' successfully assigned`,
      timestamp: run.createdAt.toISOString(),
    });
  });

  routes.serve(assignTasks, async ({ body, caller, request, response }) => {
    refuseIdempotencyKey(request, 'send the task by POST /assign-task');
    const parsed = body.tasks.map((item) => parseWith(taskRequest, item));
    const refused = hasPermission(response, 'executions:assign') ? undefined : missing('executions:assign');
    const isRefused = (item: TaskRequest) => refused !== undefined && isTask(item);
    const good = parsed.flatMap((item) => (item.ok && !isRefused(item.value) ? [item.value] : []));
    const accepted = good.length === 0 ? [] : await deps.accept.acceptTasks(caller, good);
    const next = accepted.values();
    const items = parsed.map((item, index) => {
      if (!item.ok) return { index, error: itemError('invalid_request', detailOf(item.faults), item.faults) };
      if (refused !== undefined && isRefused(item.value)) {
        return { index, error: itemError(refused.code, refused.message, []) };
      }
      return bulkItem(index, next.next().value, (run) => ({ index, task_id: run.id, status: 'assigned' }));
    });
    sendJson(response, 202, { items });
  });

  routes.serve(getResult, async ({ params, query, caller, request, response, signal }) => {
    const taskId = params['task_id'] ?? '';
    let found = await deps.runs.result(caller.tenantId, taskId);
    if (found !== undefined && !found.final && query.wait > 0) {
      await deps.wait.waitUntilFinal(taskId, query.wait * 1000, signal);
      if (signal.aborted) return;
      found = await deps.runs.result(caller.tenantId, taskId);
    }
    if (found === undefined) throw notFound('Task not found');
    const etag = `"${createHash('sha256').update(JSON.stringify(found.view)).digest('base64url').slice(0, 27)}"`;
    response.setHeader('ETag', etag);
    response.setHeader('Cache-Control', 'private, no-cache');
    if (matches(request.get('if-none-match'), etag)) response.status(304).end();
    else sendJson(response, 200, found.view);
  });

  routes.serve(listTasks, ({ response }) => {
    sendJson(response, 200, { available_tasks: deps.actionTypes.names() });
  });

  routes.serve(listActionTypes, ({ response }) => {
    const items = deps.actionTypes.list();
    sendJson(response, 200, { items, total: items.length });
  });
}

/** One item of a bulk answer. */
export function bulkItem(
  index: number,
  outcome: AcceptedRun | ItemFault | undefined,
  accepted: (run: AcceptedRun) => object,
): object {
  if (outcome === undefined) throw new OrchestratorError('internal', 'An item of a bulk request was not answered');
  if ('id' in outcome) return accepted(outcome);
  return { index, error: itemError(outcome.code, outcome.detail, outcome.errors, outcome.executionId) };
}

/** If-None-Match compares weakly (RFC 9110, 13.1.2). */
function matches(header: string | undefined, etag: string): boolean {
  if (header === undefined) return false;
  return header.split(',').some((tag) => tag.trim() === '*' || tag.trim().replace(/^W\//, '') === etag);
}
