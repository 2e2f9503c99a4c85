/** Workflows and their versions. */

import type { Request } from 'express';
import { z } from 'zod';
import { OrchestratorError } from '../../domain/errors.ts';
import type { DeleteWorkflow } from '../../engine/ports/manage-workflows.ts';
import type { ControlEventReader, StatisticsOfWorkflow, StoredWorkflow } from '../../engine/ports/read-models.ts';
import type { Workflows } from '../../engine/workflows/workflows.ts';
import { controlOperation } from '../../schemas/control.ts';
import { workflowCreateInput, workflowUpdateInput } from '../../schemas/definition.ts';
import type { JsonObject } from '../../schemas/json.ts';
import {
  canaryPercent as canaryPercentInput,
  deleteQuery,
  jsonObject,
  versionListQuery,
  workflowListQuery,
  workflowQuery,
  workflowStatus,
} from '../../schemas/requests.ts';
import * as answers from '../../schemas/workflow-answers.ts';
import { presentPausedBy } from '../present/control.ts';
import { presentRunCounts, presentVersion, presentWorkflowSummary } from '../present/workflows.ts';
import type { Links } from '../server/links.ts';
import { endpoints, notFound, operation, type Routes, sendJson } from '../server/operation.ts';
import { pageOf } from '../server/paging.ts';
import { parse } from '../server/parse.ts';
import { presentOperation } from './control-operations.ts';

/** Never ids of workflows: paths of their own, some of them later. */
const RESERVED = new Set([
  ...['search', 'statistics', 'health', 'templates', 'history', 'executions', 'run', 'activity'],
  ...['from-template', 'examples', 'operations'],
]);
/** What an answer has and a definition has not: a client may send back what it got. */
const READ_ONLY = [
  ...['workflow_id', 'current_version', 'canary', 'created_by', 'created_at', 'updated_at', 'paused'],
  'execution_statistics',
];

export const createWorkflow = operation({
  id: 'createWorkflow',
  permission: 'workflows:write',
  tag: 'Workflows',
  method: 'post',
  path: '/workflows',
  summary: 'Create a workflow',
  description: 'The definition is stored as version 1 of a new workflow.',
  body: jsonObject,
  bodyDocument: workflowCreateInput,
  answers: {
    201: {
      description: 'Created',
      schema: answers.workflow,
      headers: { Location: 'URL of the created resource', ETag: 'Version of the workflow, for If-Match' },
    },
  },
  problems: ['definition_invalid'],
});

export const listWorkflows = operation({
  id: 'listWorkflows',
  permission: 'workflows:read',
  tag: 'Workflows',
  method: 'get',
  path: '/workflows',
  summary: 'List workflows',
  description: 'The newest workflows come first.',
  query: workflowListQuery,
  answers: { 200: { description: 'One page of results', schema: answers.workflowList } },
});

export const getWorkflow = operation({
  id: 'getWorkflow',
  permission: 'workflows:read',
  tag: 'Workflows',
  method: 'get',
  path: '/workflows/{workflow_id}',
  summary: 'Get a workflow',
  description: 'Returns the newest version or the requested one.',
  query: workflowQuery,
  notFound: 'Workflow not found',
  answers: {
    200: {
      description: 'The workflow',
      schema: answers.workflow,
      headers: { ETag: 'Version of the workflow, for If-Match' },
    },
  },
});

export const updateWorkflow = operation({
  id: 'updateWorkflow',
  permission: 'workflows:write',
  tag: 'Workflows',
  method: 'put',
  path: '/workflows/{workflow_id}',
  summary: 'Update a workflow',
  description:
    'Accepts any subset of the fields and creates a new, immutable version; executions in progress keep their version. With `canary_percent` the new version does not become the current one but gets that share of the executions without an explicit version, and the ETag does not change. `status` alone creates no version: `paused` and `archived` workflows accept no executions. workflow_id, current_version, canary, created_by, created_at, updated_at and a numeric version are read-only and ignored.',
  body: jsonObject,
  bodyDocument: workflowUpdateInput,
  headers: { 'If-Match': 'The ETag of the version to change; 412 if it is no longer the newest' },
  notFound: 'Workflow not found',
  answers: {
    200: {
      description: 'Updated',
      schema: answers.workflow,
      headers: { ETag: 'Version of the workflow, for If-Match' },
    },
  },
  problems: ['conflict', 'precondition_failed', 'definition_invalid'],
});

export const deleteWorkflow = operation({
  id: 'deleteWorkflow',
  permission: 'workflows:write',
  tag: 'Workflows',
  method: 'delete',
  path: '/workflows/{workflow_id}',
  summary: 'Delete a workflow',
  description:
    'The history of the workflow is retained. With `force`, its live executions are cancelled: the response is 204 if that is done at once, and 202 with the URL of the operation if there are many.',
  query: deleteQuery,
  notFound: 'Workflow not found',
  answers: {
    204: { description: 'Deleted' },
    202: { description: 'Deleted; its executions are being cancelled', schema: controlOperation },
  },
  problems: ['active_runs'],
});

export const listVersions = operation({
  id: 'listWorkflowVersions',
  permission: 'workflows:read',
  tag: 'Workflows',
  method: 'get',
  path: '/workflows/{workflow_id}/versions',
  summary: 'List the versions of a workflow',
  description: 'The newest versions come first.',
  query: versionListQuery,
  notFound: 'Workflow not found',
  answers: { 200: { description: 'One page of results', schema: answers.workflowVersionList } },
});

interface Needs {
  statisticsOf: StatisticsOfWorkflow;
  controlEvents: ControlEventReader;
  workflows: Pick<Workflows, 'list' | 'find' | 'versions' | 'create' | 'update'>;
  deleteWorkflow: DeleteWorkflow;
  links: Links;
}

export const workflowRoutes = endpoints(
  [createWorkflow, listWorkflows, getWorkflow, updateWorkflow, deleteWorkflow, listVersions],
  serve,
);

function serve(routes: Routes, deps: Needs): void {
  const { links, workflows } = deps;

  routes.serve(createWorkflow, async ({ body, caller, response }) => {
    const created = await workflows.create(caller, body);
    response.setHeader('Location', links.workflow(created.id));
    response.setHeader('ETag', etagOf(created));
    sendJson(response, 201, presentWorkflow(created));
  });

  routes.serve(listWorkflows, async ({ query, caller, response }) => {
    const { items: found, total } = await workflows.list(caller.tenantId, query);
    const items = found.map(presentWorkflowSummary);
    sendJson(response, 200, { items, workflows: items, ...pageOf(query.page, query.page_size, total) });
  });

  routes.serve(getWorkflow, async ({ params, query, caller, response }) => {
    const found = await workflows.find(caller.tenantId, workflowIdOf(params), query.version);
    if (found === undefined) throw notFound('Workflow not found');
    response.setHeader('ETag', etagOf(found));
    const paused =
      found.status === 'paused' ? await deps.controlEvents.workflowPausedBy(caller.tenantId, found.id) : undefined;
    sendJson(response, 200, {
      ...presentWorkflow(found),
      ...(paused === undefined ? {} : { paused: presentPausedBy(paused) }),
      execution_statistics: presentRunCounts(await deps.statisticsOf(caller.tenantId, found.id)),
    });
  });

  routes.serve(updateWorkflow, async ({ params, body, caller, request, response }) => {
    const updated = await workflows.update(caller, workflowIdOf(params), {
      ...splitPatch(body),
      precondition: (current) => checkIfMatch(request, current),
    });
    // What the next change is made to: a canary is not it.
    response.setHeader('ETag', etagOf({ version: updated.currentVersion }));
    sendJson(response, 200, presentWorkflow(updated));
  });

  routes.serve(deleteWorkflow, async ({ params, query, caller, response }) => {
    const cancelling = await deps.deleteWorkflow(caller, workflowIdOf(params), query.force === true);
    if (cancelling === undefined || cancelling.status === 'completed') return void response.status(204).end();
    sendJson(response, 202, presentOperation(cancelling, links));
  });

  routes.serve(listVersions, async ({ params, query, caller, response }) => {
    const found = await workflows.versions(caller.tenantId, workflowIdOf(params), query.page, query.page_size);
    if (found === undefined) throw notFound('Workflow not found');
    sendJson(response, 200, {
      items: found.items.map(presentVersion),
      ...pageOf(query.page, query.page_size, found.total),
    });
  });
}

export function workflowIdOf(params: Record<string, string>): string {
  const id = params['workflow_id'] ?? '';
  if (RESERVED.has(id)) throw notFound('Workflow not found');
  return id;
}

export function presentWorkflow(workflow: StoredWorkflow): answers.Workflow {
  const { name, description, version, tags, parameters, actions, output, dedupe } = workflow.definition;
  const { timeout_seconds, concurrency, triggers, retention_days, metadata } = workflow.definition;
  return {
    workflow_id: workflow.id,
    name,
    description: description ?? null,
    version: workflow.version,
    current_version: workflow.currentVersion,
    ...(workflow.canary === undefined ? {} : { canary: workflow.canary }),
    ...(version === undefined ? {} : { version_label: version }),
    status: workflow.status,
    tags,
    // The domain's interfaces hold JSON only, which their types cannot say.
    parameters: parameters as unknown as JsonObject[],
    actions: actions as unknown as JsonObject[],
    ...(output === undefined ? {} : { output }),
    ...(dedupe === undefined ? {} : { dedupe: { ...dedupe } }),
    ...(concurrency === undefined ? {} : { concurrency: { ...concurrency } }),
    ...(timeout_seconds === undefined ? {} : { timeout_seconds }),
    ...(retention_days === undefined ? {} : { retention_days }),
    ...(metadata === undefined ? {} : { metadata }),
    ...(triggers === undefined ? {} : { triggers: triggers.map((trigger) => ({ ...trigger })) }),
    created_by: workflow.createdBy,
    created_at: workflow.createdAt.toISOString(),
    updated_at: workflow.updatedAt.toISOString(),
  };
}

function splitPatch(body: JsonObject): {
  status: StoredWorkflow['status'] | undefined;
  canaryPercent: number | undefined;
  patch: JsonObject;
} {
  const { status, canary_percent: canaryPercent } = parse(
    z.object({ status: workflowStatus.optional(), canary_percent: canaryPercentInput.optional() }),
    body,
  );
  const kept = Object.entries(body).filter(
    ([field, value]) =>
      field !== 'status' &&
      field !== 'canary_percent' &&
      !READ_ONLY.includes(field) &&
      !(field === 'version' && typeof value === 'number'),
  );
  if (canaryPercent !== undefined && kept.length === 0) {
    const message = 'a canary is a changed version; PUT …/canary gives a share to one that there is';
    throw new OrchestratorError('invalid_request', message, { errors: [{ path: 'canary_percent', message }] });
  }
  // What an answer calls version_label is `version` in a definition.
  return {
    status,
    canaryPercent,
    patch: Object.fromEntries(kept.map(([field, value]) => [field === 'version_label' ? 'version' : field, value])),
  };
}

export function etagOf(workflow: Pick<StoredWorkflow, 'version'>): string {
  return `"${workflow.version}"`;
}

function checkIfMatch(request: Request, current: StoredWorkflow): void {
  const header = request.get('if-match');
  if (header === undefined || header.trim() === '*') return;
  const tags = header.split(',').map((tag) => tag.trim());
  if (!tags.includes(etagOf(current))) {
    throw new OrchestratorError(
      'precondition_failed',
      `The newest version is ${etagOf(current)}, not ${header.slice(0, 100)}`,
    );
  }
}
