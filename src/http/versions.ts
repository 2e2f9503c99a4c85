/** What differs between versions of a workflow, and the one that is tried out on a share of the executions. */
import { diffDefinitions } from '../domain/diff-definitions.ts';
import { OrchestratorError } from '../domain/errors.ts';
import { canaryRequest } from '../schemas/requests.ts';
import * as answers from '../schemas/workflow-answers.ts';
import type { HttpDeps } from './deps.ts';
import { notFound, operation, type Routes, sendJson } from './operation.ts';
import { presentWorkflow, workflowIdOf } from './workflows.ts';

const VERSION = /^[1-9]\d{0,9}$/;
const LARGEST_VERSION = 2 ** 31 - 1;

export const diffVersions = operation({
  id: 'diffWorkflowVersions',
  permission: 'workflows:read',
  tag: 'Workflows',
  method: 'get',
  path: '/workflows/{workflow_id}/versions/{from}/diff/{to}',
  summary: 'What differs between two versions, and whether that breaks others',
  description:
    'Breaking are a parameter that is gone, required or narrower now, a part of the output that is gone or of another kind, an action whose output it was made of that is gone or of another type, and an approval, signal or external task that somebody answers.',
  notFound: 'Workflow not found',
  answers: { 200: { description: 'Field by field, with old and new values', schema: answers.versionDiff } },
  problems: [401, 404],
});

export const setCanary = operation({
  id: 'setCanary',
  permission: 'workflows:write',
  tag: 'Workflows',
  method: 'put',
  path: '/workflows/{workflow_id}/canary',
  summary: 'Gives a version a share of the executions that name none',
  description:
    'Which execution gets it follows from its idempotency key, else its correlation id, else its own id: the same always gets the same version, and stays there while the share grows.',
  body: canaryRequest,
  notFound: 'Workflow not found',
  answers: { 200: { description: 'The workflow, in its current version', schema: answers.workflow } },
  problems: [400, 401, 404, 409, 413, 415],
});

export const removeCanary = operation({
  id: 'removeCanary',
  permission: 'workflows:write',
  tag: 'Workflows',
  method: 'delete',
  path: '/workflows/{workflow_id}/canary',
  summary: 'Takes the share away again; runs under way keep their version',
  notFound: 'Workflow not found',
  answers: { 204: { description: 'There is no canary (any more)' } },
  problems: [401, 404],
});

export const promoteCanary = operation({
  id: 'promoteCanary',
  permission: 'workflows:write',
  tag: 'Workflows',
  method: 'post',
  path: '/workflows/{workflow_id}/canary/promote',
  summary: 'Makes the canary the current version',
  notFound: 'Workflow not found',
  answers: { 200: { description: 'The workflow', schema: answers.workflow } },
  problems: [401, 404, 409],
});

export function versionRoutes(routes: Routes, { workflows }: HttpDeps): void {
  async function find(tenantId: string, id: string, version?: number) {
    const found = await workflows.find(tenantId, id, version);
    if (found === undefined) throw notFound('Workflow not found');
    return found;
  }

  routes.serve(diffVersions, async ({ params, caller, response }) => {
    const id = workflowIdOf(params);
    const [from, to] = [versionOf(params['from']), versionOf(params['to'])];
    const [before, after] = await Promise.all([find(caller.tenantId, id, from), find(caller.tenantId, id, to)]);
    sendJson(response, 200, { workflow_id: id, from, to, ...diffDefinitions(before.definition, after.definition) });
  });

  routes.serve(setCanary, async ({ params, body, caller, response }) => {
    const id = workflowIdOf(params);
    const outcome = await workflows.setCanary(caller.tenantId, id, body);
    if (outcome === 'unknown' || outcome === 'no_such_version') throw notFound('Workflow not found');
    if (outcome === 'is_current')
      throw new OrchestratorError('conflict', `Version ${body.version} is the current version`);
    sendJson(response, 200, presentWorkflow(await find(caller.tenantId, id)));
  });

  routes.serve(removeCanary, async ({ params, caller, response }) => {
    const outcome = await workflows.setCanary(caller.tenantId, workflowIdOf(params), undefined);
    if (outcome !== 'done') throw notFound('Workflow not found');
    response.status(204).end();
  });

  routes.serve(promoteCanary, async ({ params, caller, response }) => {
    const id = workflowIdOf(params);
    const version = await workflows.promoteCanary(caller.tenantId, id);
    const found = await find(caller.tenantId, id);
    if (version === undefined) throw new OrchestratorError('conflict', 'The workflow has no canary');
    sendJson(response, 200, presentWorkflow(found));
  });
}

function versionOf(text: string | undefined): number {
  const version = VERSION.test(text ?? '') ? Number(text) : LARGEST_VERSION + 1;
  if (version > LARGEST_VERSION) throw notFound('Workflow not found');
  return version;
}
