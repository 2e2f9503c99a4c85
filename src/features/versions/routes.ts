/** What differs between versions of a workflow, and the one that is tried out on a share of the executions. */

import type { Workflows } from '../../engine/workflows/workflows.ts';
import { presentWorkflow, workflowIdOf } from '../../http/routes/workflows.ts';
import { endpoints, notFound, operation, type Routes, sendJson } from '../../http/server/operation.ts';
import { canaryRequest } from '../../schemas/requests.ts';
import * as answers from '../../schemas/workflow-answers.ts';
import { diffDefinitions } from './diff-definitions.ts';

const VERSION = /^[1-9]\d{0,9}$/;
const LARGEST_VERSION = 2 ** 31 - 1;

export const diffVersions = operation({
  id: 'diffWorkflowVersions',
  permission: 'workflows:read',
  tag: 'Workflows',
  method: 'get',
  path: '/workflows/{workflow_id}/versions/{from}/diff/{to}',
  summary: 'Compare two versions of a workflow',
  description:
    'Shows the differences and whether they are breaking. Breaking changes are: a parameter that was removed, became required or became narrower; a part of the output that was removed or changed its type; an action used in the output that was removed or changed its type; and a change to an approval, signal or external task that somebody responds to.',
  notFound: 'Workflow not found',
  answers: { 200: { description: 'Changes by field, with old and new values', schema: answers.versionDiff } },
});

export const setCanary = operation({
  id: 'setCanary',
  permission: 'workflows:write',
  tag: 'Workflows',
  method: 'put',
  path: '/workflows/{workflow_id}/canary',
  summary: 'Set the canary version of a workflow',
  description:
    'The version gets a share of the executions without an explicit version. The assignment depends on the idempotency key of the execution, or else its correlation id, or else its own id: the same key always gets the same version, and keeps it while the share grows.',
  body: canaryRequest,
  notFound: 'Workflow not found',
  answers: { 200: { description: 'The workflow, in its current version', schema: answers.workflow } },
  problems: ['conflict'],
});

export const removeCanary = operation({
  id: 'removeCanary',
  permission: 'workflows:write',
  tag: 'Workflows',
  method: 'delete',
  path: '/workflows/{workflow_id}/canary',
  summary: 'Remove the canary version of a workflow',
  description: 'Executions in progress keep their version.',
  notFound: 'Workflow not found',
  answers: { 204: { description: 'There is no canary' } },
});

export const promoteCanary = operation({
  id: 'promoteCanary',
  permission: 'workflows:write',
  tag: 'Workflows',
  method: 'post',
  path: '/workflows/{workflow_id}/canary/promote',
  summary: 'Promote the canary to the current version',
  notFound: 'Workflow not found',
  answers: { 200: { description: 'The workflow', schema: answers.workflow } },
  problems: ['conflict'],
});

interface Needs {
  workflows: Pick<Workflows, 'find' | 'setCanary' | 'removeCanary' | 'promoteCanary'>;
}

export const versionRoutes = endpoints([diffVersions, setCanary, removeCanary, promoteCanary], serve);

function serve(routes: Routes, { workflows }: Needs): void {
  async function find(tenantId: string, id: string, version: number) {
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
    sendJson(response, 200, presentWorkflow(await workflows.setCanary(caller, workflowIdOf(params), body)));
  });

  routes.serve(removeCanary, async ({ params, caller, response }) => {
    await workflows.removeCanary(caller, workflowIdOf(params));
    response.status(204).end();
  });

  routes.serve(promoteCanary, async ({ params, caller, response }) => {
    sendJson(response, 200, presentWorkflow(await workflows.promoteCanary(caller, workflowIdOf(params))));
  });
}

function versionOf(text: string | undefined): number {
  const version = VERSION.test(text ?? '') ? Number(text) : LARGEST_VERSION + 1;
  if (version > LARGEST_VERSION) throw notFound('Workflow not found');
  return version;
}
