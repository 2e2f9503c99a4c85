/** A manual retry of an execution that has failed or was cancelled. */
import type { RetryRuns } from '../../engine/ports/use-cases.ts';
import { reasonRequest } from '../../schemas/control.ts';
import { retriedExecution } from '../../schemas/retry.ts';
import { endpoints, operation, type Routes, sendJson } from '../server/operation.ts';

export const retryExecution = operation({
  id: 'retryExecution',
  permission: 'executions:control',
  tag: 'Executions',
  method: 'post',
  path: '/workflows/executions/{execution_id}/retry',
  summary: 'Retry a failed or cancelled execution',
  description:
    'Every action that did not complete, and all its descendants, are executed again in a new epoch. Completed actions without such an ancestor keep their results. Also accepts the id of a single task.',
  body: reasonRequest,
  bodyOptional: true,
  notFound: 'Execution not found',
  answers: { 202: { description: 'The execution was restarted', schema: retriedExecution } },
  problems: ['not_retryable'],
});

interface Needs {
  retry: RetryRuns;
}

export const retryRoutes = endpoints([retryExecution], serve);

function serve(routes: Routes, deps: Needs): void {
  routes.serve(retryExecution, async ({ params, body, caller, response }) => {
    const id = params['execution_id'] ?? '';
    const { status, epoch, reopened } = await deps.retry.retryRun(caller, id, body.reason);
    sendJson(response, 202, { execution_id: id, status, epoch, reopened_actions: reopened, message: 'Retried' });
  });
}
