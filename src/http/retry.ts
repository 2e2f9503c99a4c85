/** A retry by hand of an execution that has failed or was cancelled. */
import { reasonRequest } from '../schemas/control.ts';
import { retriedExecution } from '../schemas/retry.ts';
import type { HttpDeps } from './deps.ts';
import { operation, type Routes, sendJson } from './operation.ts';

export const retryExecution = operation({
  id: 'retryExecution',
  permission: 'executions:control',
  tag: 'Executions',
  method: 'post',
  path: '/workflows/executions/{execution_id}/retry',
  summary: 'Goes on with an execution that failed or was cancelled',
  description:
    'Every action that did not complete, and every descendant of one, is executed again, in a new epoch. Completed actions ' +
    'without such an ancestor keep their results. Takes the id of a single task too.',
  body: reasonRequest,
  bodyOptional: true,
  notFound: 'Execution not found',
  answers: { 202: { description: 'It goes on', schema: retriedExecution } },
  problems: [400, 401, 404, 409, 413, 415],
});

export function retryRoutes(routes: Routes, deps: HttpDeps): void {
  routes.serve(retryExecution, async ({ params, body, caller, response }) => {
    const id = params['execution_id'] ?? '';
    const { status, epoch, reopened } = await deps.retry.retryRun(caller, id, body.reason);
    sendJson(response, 202, { execution_id: id, status, epoch, reopened_actions: reopened, message: 'Retried' });
  });
}
