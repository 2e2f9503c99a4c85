/** The single-task API: one task at a time, or many, and their results. */

import { createHash } from 'node:crypto';
import { missing } from '../../domain/access.ts';
import { OrchestratorError } from '../../domain/errors.ts';
import type { RunReader } from '../../engine/ports/read-models.ts';
import type {
  AcceptedRun,
  AcceptRuns,
  ActionTypes,
  ItemFault,
  TaskRequest,
  WaitForRuns,
} from '../../engine/ports/use-cases.ts';
import * as answers from '../../schemas/answers.ts';
import { parseWith } from '../../schemas/faults.ts';
import { resultQuery, taskListDocument, taskListRequest, taskRequest } from '../../schemas/requests.ts';
import { hasPermission, requireAccess } from '../middleware/authorise.ts';
import { presentResult } from '../present/tasks.ts';
import { idempotencyKey, rejectIdempotencyKey, setReplayHeaders } from '../server/idempotency.ts';
import type { Links } from '../server/links.ts';
import { endpoints, notFound, operation, type Routes, sendJson } from '../server/operation.ts';
import { detailOf } from '../server/parse.ts';
import { itemError } from '../server/problem.ts';
import { ACCEPTING } from '../server/problem-codes.ts';

export const assignTask = operation({
  id: 'assignTask',
  permission: 'executions:run',
  tag: 'Tasks',
  method: 'post',
  path: '/assign-task',
  summary: 'Start a task',
  description:
    '`task_type` names an action type, which also requires the permission `executions:assign`, or, if there is none of that name, a workflow, which is executed with `params`.',
  body: taskRequest,
  headers: {
    'Idempotency-Key':
      'A repeated request with the same key and body returns the first task; with another body the response is 409',
  },
  answers: {
    202: { description: 'Accepted', schema: answers.assignedTask, headers: { Location: 'URL of the result' } },
  },
  problems: [...ACCEPTING, 'not_found', 'unknown_task_type', 'definition_invalid'],
});

export const assignTasks = operation({
  id: 'assignTasks',
  permission: 'executions:run',
  tag: 'Tasks',
  method: 'post',
  path: '/assign-tasks',
  summary: 'Start up to 1,000 tasks',
  description:
    'The results are in the order of the items, and an invalid item does not affect the others. An action type also requires the permission `executions:assign`.',
  body: taskListRequest,
  bodyDocument: taskListDocument,
  answers: { 202: { description: 'One result per item', schema: answers.assignedTasks } },
  problems: ['queue_full'],
});

export const getResult = operation({
  id: 'getResult',
  permission: 'executions:read',
  tag: 'Tasks',
  method: 'get',
  path: '/result/{task_id}',
  summary: 'Get the result of a task',
  description: 'The response is 200 for a failed task too. With `wait`, the response is sent as soon as the task ends.',
  query: resultQuery,
  headers: { 'If-None-Match': 'The ETag of the previous response' },
  notFound: 'Task not found',
  answers: {
    200: {
      description: 'The status, and the result of a task that has ended',
      schema: answers.taskResult,
      headers: { ETag: 'Changes with the content of the response' },
    },
    304: { description: 'Not modified' },
  },
});

export const listTasks = operation({
  id: 'listTasks',
  permission: 'authenticated',
  tag: 'Tasks',
  method: 'get',
  path: '/tasks',
  summary: 'List the names that task_type accepts',
  answers: { 200: { description: 'The names', schema: answers.availableTasks } },
});

export const listActionTypes = operation({
  id: 'listActionTypes',
  permission: 'authenticated',
  tag: 'Tasks',
  method: 'get',
  path: '/action-types',
  summary: 'List action types with their JSON Schemas',
  description: 'The response has the JSON Schemas of the configuration and of the output of each action type.',
  answers: { 200: { description: 'The action types', schema: answers.actionTypeList } },
});

interface Needs {
  accept: AcceptRuns;
  actionTypes: ActionTypes;
  runs: RunReader;
  wait: WaitForRuns;
  links: Links;
}

export const taskRoutes = endpoints([assignTask, assignTasks, getResult, listTasks, listActionTypes], serve);

function serve(routes: Routes, deps: Needs): void {
  const { links } = deps;
  /** It says itself what is to be done; a workflow was written by somebody who may. */
  const isTask = ({ task_type: type }: Pick<TaskRequest, 'task_type'>) =>
    deps.actionTypes.canonical(type) !== undefined;

  routes.serve(assignTask, async ({ body, caller, request, response }) => {
    if (isTask(body)) requireAccess(response, 'executions:assign');
    const run = await deps.accept.acceptTask(caller, body, idempotencyKey(request));
    setReplayHeaders(response, run);
    response.setHeader('Location', links.result(run.id));
    sendJson(response, 202, {
      task_id: run.id,
      status: 'assigned',
      message: `Task '${body.task_type}' successfully assigned`,
      timestamp: run.createdAt.toISOString(),
    });
  });

  routes.serve(assignTasks, async ({ body, caller, request, response }) => {
    rejectIdempotencyKey(request, 'send the task by POST /assign-task');
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
    const view = presentResult(found);
    const etag = `"${createHash('sha256').update(JSON.stringify(view)).digest('base64url').slice(0, 27)}"`;
    response.setHeader('ETag', etag);
    response.setHeader('Cache-Control', 'private, no-cache');
    if (matches(request.get('if-none-match'), etag)) response.status(304).end();
    else sendJson(response, 200, view);
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
