/** Executions: beginning, reading, listing and cancelling runs of workflows. */
import type { AcceptedRun, ExecuteRequest } from '../engine/use-cases.ts';
import { parseWith } from '../schemas/faults.ts';
import {
  cancelRequest,
  executeItem,
  executeListDocument,
  executeListRequest,
  executeQuery,
  executeRequest,
  executionsQuery,
  workflowExecutionsQuery,
} from '../schemas/requests.ts';
import type { ExecutionSummary } from '../schemas/workflow-answers.ts';
import * as answers from '../schemas/workflow-answers.ts';
import { withChildLinks, withParentLink } from './child-links.ts';
import type { HttpDeps } from './deps.ts';
import { idempotencyKey, refuseIdempotencyKey, tellReplay } from './idempotency.ts';
import type { Links } from './links.ts';
import { notFound, operation, type Routes, sendJson } from './operation.ts';
import { executionPage, windowOf } from './paging.ts';
import { detailOf } from './parse.ts';
import { itemError } from './problem.ts';
import { bulkItem } from './tasks.ts';
import { workflowIdOf } from './workflows.ts';

export const getExecution = operation({
  id: 'getExecution',
  permission: 'executions:read',
  tag: 'Executions',
  method: 'get',
  path: '/workflows/executions/{execution_id}',
  summary: 'An execution with its progress and tasks',
  notFound: 'Execution not found',
  answers: { 200: { description: 'The execution', schema: answers.execution } },
  problems: [401, 404],
});

export const cancelExecution = operation({
  id: 'cancelExecution',
  permission: 'executions:control',
  tag: 'Executions',
  method: 'post',
  path: '/workflows/executions/{execution_id}/cancel',
  summary: 'Asks for an execution to be cancelled',
  body: cancelRequest,
  bodyOptional: true,
  notFound: 'Execution not found',
  answers: { 202: { description: 'Asked for', schema: answers.cancelledExecution } },
  problems: [400, 401, 404, 409, 413, 415],
});

export const executeWorkflow = operation({
  id: 'executeWorkflow',
  permission: 'executions:run',
  tag: 'Executions',
  method: 'post',
  path: '/workflows/{workflow_id}/execute',
  summary: 'Begins an execution',
  body: executeRequest,
  bodyOptional: true,
  query: executeQuery,
  headers: { 'Idempotency-Key': 'The same key and body answer the first execution again; with another body 409' },
  notFound: 'Workflow not found',
  answers: {
    200: { description: 'The plan, with dry_run', schema: answers.dryRun },
    202: {
      description: 'Accepted',
      schema: answers.acceptedExecution,
      headers: {
        Location: 'Where the execution is',
        'Execution-Deduplicated': 'true: it is an execution that was there, by the `dedupe` of the workflow',
      },
    },
  },
  problems: [400, 401, 404, 409, 413, 415, 422, 429],
});

export const executeMany = operation({
  id: 'executeWorkflowMany',
  permission: 'executions:run',
  tag: 'Executions',
  method: 'post',
  path: '/workflows/{workflow_id}/executions',
  summary: 'Begins up to 1,000 executions',
  description: 'Every item is answered in the order sent; one bad item does not sink the rest.',
  body: executeListRequest,
  bodyDocument: executeListDocument,
  notFound: 'Workflow not found',
  answers: { 202: { description: 'Every item by itself', schema: answers.acceptedExecutions } },
  problems: [400, 401, 404, 409, 413, 415, 429],
});

export const listWorkflowExecutions = operation({
  id: 'listWorkflowExecutions',
  permission: 'executions:read',
  tag: 'Executions',
  method: 'get',
  path: '/workflows/{workflow_id}/executions',
  summary: 'The executions of a workflow, newest first',
  query: workflowExecutionsQuery,
  notFound: 'Workflow not found',
  answers: { 200: { description: 'One page', schema: answers.executionList } },
  problems: [400, 401, 404],
});

export const listExecutions = operation({
  id: 'listExecutions',
  permission: 'executions:read',
  tag: 'Executions',
  method: 'get',
  path: '/executions',
  summary: 'All executions, those of single tasks too, newest first',
  query: executionsQuery,
  answers: { 200: { description: 'One page', schema: answers.executionList } },
  problems: [400, 401],
});

export function executionRoutes(routes: Routes, deps: HttpDeps, links: Links): void {
  const withLinks = <Found extends { items: ExecutionSummary[] }>(found: Found): Found => ({
    ...found,
    items: found.items.map((item) => withParentLink(item, links)),
  });

  routes.serve(getExecution, async ({ params, caller, response }) => {
    const found = await deps.runs.execution(caller.tenantId, params['execution_id'] ?? '');
    if (found === undefined) throw notFound('Execution not found');
    sendJson(response, 200, withChildLinks(found, links));
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
    tellReplay(response, run);
    response.setHeader('Location', links.execution(run.id));
    sendJson(response, 202, accepted(run, workflowId, links));
  });

  routes.serve(executeMany, async ({ params, body, caller, request, response }) => {
    const workflowId = workflowIdOf(params);
    refuseIdempotencyKey(request, 'give each item its idempotency_key');
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
    sendJson(response, 200, executionPage({ window, page }, withLinks(found)));
  });

  routes.serve(listExecutions, async ({ query, caller, response }) => {
    const { window, filter, page } = windowOf(query);
    const found = await deps.runs.list(caller.tenantId, filter, window);
    sendJson(response, 200, executionPage({ window, page }, withLinks(found)));
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
