/** The API of external workers: they lease tasks of a topic, extend the leases, and answer. */

import { endpoints, operation, type Routes, sendJson } from '../../http/server/operation.ts';
import { pageOf } from '../../http/server/paging.ts';
import * as schemas from '../../schemas/external-tasks.ts';
import type { SaidLine } from './external-logs.ts';
import type { ExternalTasks } from './lease-tasks.ts';
import type { LeasedTask, OpenExternalTask } from './ports.ts';

const tag = 'Tasks';
const notFound = 'Task not found';
const LEASE_LOST =
  '409 `lease_lost`: the lease has expired and another worker has the task, or the task has ended. 409 `run_cancelled`: the execution was cancelled or has ended.';

export const pollTasks = operation({
  id: 'pollTasks',
  permission: 'tasks:work',
  tag,
  method: 'post',
  path: '/tasks/poll',
  summary: 'Poll for external tasks and lease them',
  description:
    'Leases tasks of a topic (actions of type `external`) to a worker, by priority and age. A task belongs to the worker until its lease expires; a heartbeat extends the lease. Nothing is leased to a client that disconnects before the response.',
  body: schemas.pollRequest,
  answers: { 200: { description: 'The leased tasks; an empty list if there are none', schema: schemas.polledTasks } },
});

export const heartbeatTask = operation({
  id: 'heartbeatTask',
  permission: 'tasks:work',
  tag,
  method: 'post',
  path: '/tasks/{task_id}/heartbeat',
  summary: 'Extend the lease of a task and report its progress',
  description: LEASE_LOST,
  body: schemas.heartbeatRequest,
  notFound,
  answers: { 200: { description: 'The lease was extended', schema: schemas.extendedLease } },
  problems: ['lease_lost', 'run_cancelled'],
});

export const completeTask = operation({
  id: 'completeTask',
  permission: 'tasks:work',
  tag,
  method: 'post',
  path: '/tasks/{task_id}/complete',
  summary: 'Complete a leased task with its output',
  description: `A repeated request returns the same response. ${LEASE_LOST}`,
  body: schemas.completeRequest,
  notFound,
  answers: { 200: { description: 'Stored', schema: schemas.answeredTask } },
  problems: ['lease_lost', 'run_cancelled'],
});

export const failTask = operation({
  id: 'failTask',
  permission: 'tasks:work',
  tag,
  method: 'post',
  path: '/tasks/{task_id}/fail',
  summary: 'Fail the current attempt of a leased task',
  description: `The retry policy of the action determines what follows. ${LEASE_LOST}`,
  body: schemas.failRequest,
  notFound,
  answers: { 200: { description: 'Stored', schema: schemas.answeredTask } },
  problems: ['lease_lost', 'run_cancelled'],
});

export const listExternalTasks = operation({
  id: 'listExternalTasks',
  permission: 'executions:read',
  tag,
  method: 'get',
  path: '/external-tasks',
  summary: 'List external tasks and their topics',
  description:
    'The tasks are waiting or leased, and the response counts those of each topic. A topic with waiting tasks, and none of them leased, has no worker.',
  query: schemas.externalTasksQuery,
  answers: { 200: { description: 'One page of tasks, and all topics', schema: schemas.externalTaskList } },
});

interface Needs {
  externalTasks: ExternalTasks;
}

export const externalTaskRoutes = endpoints(
  [pollTasks, heartbeatTask, completeTask, failTask, listExternalTasks],
  serve,
);

function serve(routes: Routes, { externalTasks }: Needs): void {
  routes.serve(pollTasks, async ({ body, caller, response, signal }) => {
    const { topic, worker_id: workerId, max, wait_seconds: waitSeconds, lease_seconds: leaseSeconds } = body;
    const tasks = await externalTasks.poll(caller, { topic, workerId, max, waitSeconds, leaseSeconds }, signal);
    sendJson(response, 200, { tasks: tasks.map(leased) });
  });

  routes.serve(heartbeatTask, async ({ params, body, caller, response }) => {
    const taskId = idOf(params);
    const { lease_token: leaseToken, progress, extend_seconds: extendSeconds } = body;
    const { leaseUntil, deadline } = await externalTasks.heartbeat(caller, taskId, {
      leaseToken,
      progress,
      extendSeconds,
      logs: linesOf(body.logs),
    });
    sendJson(response, 200, {
      task_id: taskId,
      lease_expires_at: leaseUntil.toISOString(),
      deadline: deadline.toISOString(),
    });
  });

  routes.serve(completeTask, async ({ params, body, caller, response }) => {
    const taskId = idOf(params);
    const { lease_token: leaseToken, output } = body;
    const logs = linesOf(body.logs);
    const { runId, actionId } = await externalTasks.complete(caller, taskId, { leaseToken, output, logs });
    sendJson(response, 200, { task_id: taskId, execution_id: runId, action_id: actionId, status: 'completed' });
  });

  routes.serve(failTask, async ({ params, body, caller, response }) => {
    const taskId = idOf(params);
    const { lease_token: leaseToken, error, retryable } = body;
    const { message, code } = typeof error === 'string' ? { message: error, code: undefined } : error;
    const logs = linesOf(body.logs);
    const { runId, actionId } = await externalTasks.fail(caller, taskId, {
      leaseToken,
      message,
      code,
      retryable,
      logs,
    });
    sendJson(response, 200, { task_id: taskId, execution_id: runId, action_id: actionId, status: 'failed' });
  });

  routes.serve(listExternalTasks, async ({ query, caller, response }) => {
    const { topic, status, page, page_size: pageSize } = query;
    const window = { limit: pageSize, skip: (page - 1) * pageSize };
    const { items, total, topics } = await externalTasks.list(caller, { topic, status }, window);
    sendJson(response, 200, {
      items: items.map(open),
      ...pageOf(page, pageSize, total),
      topics: topics.map(({ oldestWaitingSeconds, ...depth }) => ({
        ...depth,
        oldest_waiting_seconds: oldestWaitingSeconds,
      })),
    });
  });
}

function idOf(params: Record<string, string>): string {
  return params['task_id'] ?? '';
}

function linesOf(logs: schemas.SentLogs): SaidLine[] | undefined {
  return logs?.map(({ at, ...line }) => ({ ...line, at: at === undefined ? undefined : new Date(at) }));
}

function leased(task: LeasedTask): object {
  return {
    task_id: task.taskId,
    lease_token: task.leaseToken,
    execution_id: task.runId,
    action_id: task.actionId,
    attempt: task.attempt,
    topic: task.topic,
    input: task.input,
    deadline: task.deadline.toISOString(),
    lease_expires_at: task.leaseUntil.toISOString(),
  };
}

function open(task: OpenExternalTask): object {
  return {
    task_id: task.taskId,
    execution_id: task.runId,
    action_id: task.actionId,
    attempt: task.attempt,
    topic: task.topic,
    status: task.status,
    priority: task.priority,
    worker_id: task.workerId,
    deliveries: task.deliveries,
    lease_expires_at: task.leaseUntil?.toISOString() ?? null,
    progress: task.progress,
    created_at: task.createdAt.toISOString(),
    deadline: task.deadline.toISOString(),
  };
}
