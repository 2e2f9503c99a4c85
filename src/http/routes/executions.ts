/** Executions: beginning, reading, listing and cancelling runs of workflows. */

import type { RunReader, WorkflowStore } from '../../engine/ports/read-models.ts';
import type { AcceptedRun, AcceptRuns, CancelRuns, ExecuteRequest } from '../../engine/ports/use-cases.ts';
import { parseWith } from '../../schemas/faults.ts';
import {
  cancelRequest,
  executeItem,
  executeListDocument,
  executeListRequest,
  executeQuery,
  executeRequest,
  executionsQuery,
  workflowExecutionsQuery,
} from '../../schemas/requests.ts';
import * as answers from '../../schemas/workflow-answers.ts';
import { executionPage, presentExecution } from '../present/runs.ts';
import { idempotencyKey, rejectIdempotencyKey, setReplayHeaders } from '../server/idempotency.ts';
import type { Links } from '../server/links.ts';
import { endpoints, notFound, operation, type Routes, sendJson } from '../server/operation.ts';
import { windowOf } from '../server/paging.ts';
import { detailOf } from '../server/parse.ts';
import { itemError } from '../server/problem.ts';
import { ACCEPTING } from '../server/problem-codes.ts';
import { bulkItem } from './tasks.ts';
import { workflowIdOf } from './workflows.ts';

export const getExecution = operation({
  id: 'getExecution',
  permission: 'executions:read',
  tag: 'Executions',
  method: 'get',
  path: '/workflows/executions/{execution_id}',
  summary: 'Get an execution',
  description: 'Returns the execution with its progress and tasks.',
  notFound: 'Execution not found',
  answers: { 200: { description: 'The execution', schema: answers.execution } },
});

export const cancelExecution = operation({
  id: 'cancelExecution',
  permission: 'executions:control',
  tag: 'Executions',
  method: 'post',
  path: '/workflows/executions/{execution_id}/cancel',
  summary: 'Cancel an execution',
  description: 'The response confirms that the cancellation was requested.',
  body: cancelRequest,
  bodyOptional: true,
  notFound: 'Execution not found',
  answers: { 202: { description: 'The cancellation was requested', schema: answers.cancelledExecution } },
  problems: ['already_final'],
});

export const executeWorkflow = operation({
  id: 'executeWorkflow',
  permission: 'executions:run',
  tag: 'Executions',
  method: 'post',
  path: '/workflows/{workflow_id}/execute',
  summary: 'Execute a workflow',
  body: executeRequest,
  bodyOptional: true,
  query: executeQuery,
  headers: {
    'Idempotency-Key':
      'A repeated request with the same key and body returns the first execution; with another body the response is 409',
  },
  notFound: 'Workflow not found',
  answers: {
    200: { description: 'The plan, with dry_run', schema: answers.dryRun },
    202: {
      description: 'Accepted',
      schema: answers.acceptedExecution,
      headers: {
        Location: 'URL of the execution',
        'Execution-Deduplicated': 'true: the `dedupe` of the workflow returned an existing execution',
      },
    },
  },
  problems: [...ACCEPTING, 'definition_invalid'],
});

export const executeMany = operation({
  id: 'executeWorkflowMany',
  permission: 'executions:run',
  tag: 'Executions',
  method: 'post',
  path: '/workflows/{workflow_id}/executions',
  summary: 'Execute a workflow up to 1,000 times',
  description: 'The results are in the order of the items, and an invalid item does not affect the others.',
  body: executeListRequest,
  bodyDocument: executeListDocument,
  notFound: 'Workflow not found',
  answers: { 202: { description: 'One result per item', schema: answers.acceptedExecutions } },
  problems: ['workflow_paused', 'queue_full'],
});

export const listWorkflowExecutions = operation({
  id: 'listWorkflowExecutions',
  permission: 'executions:read',
  tag: 'Executions',
  method: 'get',
  path: '/workflows/{workflow_id}/executions',
  summary: 'List the executions of a workflow',
  description: 'The newest executions come first.',
  query: workflowExecutionsQuery,
  notFound: 'Workflow not found',
  answers: { 200: { description: 'One page of results', schema: answers.executionList } },
});

export const listExecutions = operation({
  id: 'listExecutions',
  permission: 'executions:read',
  tag: 'Executions',
  method: 'get',
  path: '/executions',
  summary: 'List executions',
  description: 'Returns all executions, including single tasks, newest first.',
  query: executionsQuery,
  answers: { 200: { description: 'One page of results', schema: answers.executionList } },
});

interface Needs {
  accept: AcceptRuns;
  cancel: CancelRuns;
  runs: RunReader;
  workflows: Pick<WorkflowStore, 'existed'>;
  links: Links;
}

export const executionRoutes = endpoints(
  [executeWorkflow, executeMany, listWorkflowExecutions, getExecution, cancelExecution, listExecutions],
  serve,
);

function serve(routes: Routes, deps: Needs): void {
  const { links } = deps;

  routes.serve(getExecution, async ({ params, caller, response }) => {
    const found = await deps.runs.execution(caller.tenantId, params['execution_id'] ?? '');
    if (found === undefined) throw notFound('Execution not found');
    sendJson(response, 200, presentExecution(found, links));
  });

  routes.serve(cancelExecution, async ({ params, body, caller, response }) => {
    const id = params['execution_id'] ?? '';
    const status = await deps.cancel.cancelRun(caller, id, body.reason);
    sendJson(response, 202, { execution_id: id, status, message: 'Cancellation requested' });
  });

  routes.serve(executeWorkflow, async ({ params, body, query, caller, request, response }) => {
    const workflowId = workflowIdOf(params);
    const { dry_run, ...rest } = body;
    const wanted: ExecuteRequest = {
      ...rest,
      idempotency_key: idempotencyKey(request, body.idempotency_key),
      strict: query.strict ?? false,
    };
    if (dry_run ?? query.dry_run ?? false)
      return sendJson(response, 200, await deps.accept.dryRun(caller, workflowId, wanted));
    const run = await deps.accept.executeWorkflow(caller, workflowId, wanted);
    setReplayHeaders(response, run);
    response.setHeader('Location', links.execution(run.id));
    sendJson(response, 202, accepted(run, workflowId, links));
  });

  routes.serve(executeMany, async ({ params, body, caller, request, response }) => {
    const workflowId = workflowIdOf(params);
    rejectIdempotencyKey(request, 'give each item its idempotency_key');
    const parsed = body.items.map((item) => parseWith(executeItem, item));
    const good = parsed.flatMap((item): ExecuteRequest[] => (item.ok ? [{ ...item.value, strict: false }] : []));
    const outcomes = await deps.accept.executeWorkflowMany(caller, workflowId, good);
    const next = outcomes.values();
    const items = parsed.map((item, index) => {
      if (!item.ok) return { index, error: itemError('invalid_request', detailOf(item.faults), item.faults) };
      return bulkItem(index, next.next().value, (run) => ({
        index,
        execution_id: run.id,
        status: 'pending',
        ...markOf(run),
      }));
    });
    sendJson(response, 202, { items });
  });

  routes.serve(listWorkflowExecutions, async ({ params, query, caller, response }) => {
    const workflowId = workflowIdOf(params);
    const { window, filter, page } = windowOf(query);
    if (!(await deps.workflows.existed(caller.tenantId, workflowId))) throw notFound('Workflow not found');
    const found = await deps.runs.list(caller.tenantId, { ...filter, workflowId }, window);
    sendJson(response, 200, executionPage({ window, page }, found, links));
  });

  routes.serve(listExecutions, async ({ query, caller, response }) => {
    const { window, filter, page } = windowOf(query);
    const found = await deps.runs.list(caller.tenantId, filter, window);
    sendJson(response, 200, executionPage({ window, page }, found, links));
  });
}

/** The status is the one at acceptance, so that a repeated request gets the same words. */
function accepted(run: AcceptedRun, workflowId: string, links: Links): object {
  return {
    execution_id: run.id,
    workflow_id: run.workflowId ?? workflowId,
    workflow_version: run.workflowVersion,
    status: 'pending',
    created_at: run.createdAt.toISOString(),
    links: {
      self: links.execution(run.id),
      workflow: links.workflow(run.workflowId ?? workflowId),
      cancel: links.cancel(run.id),
      events: links.events(run.id),
      result: links.result(run.id),
    },
    ...markOf(run),
    ...(run.warnings.length === 0 ? {} : { warnings: run.warnings }),
  };
}

function markOf({ deduplicated }: AcceptedRun): { deduplicated?: true } {
  return deduplicated === true ? { deduplicated } : {};
}
