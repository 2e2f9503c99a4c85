/** Many executions at once. */
import type { BulkControl, BulkFilter } from '../../engine/ports/use-cases.ts';
import { endpoints, operation, type Routes, sendJson } from '../../http/server/operation.ts';
import * as schemas from './schemas.ts';

const answers = {
  200: { description: 'The plan, with dry_run: what would be done', schema: schemas.bulkPlan },
  202: { description: 'Number of executions', schema: schemas.bulkDone },
};

export const bulkCancel = operation({
  id: 'bulkCancelExecutions',
  permission: 'executions:control',
  tag: 'Executions',
  method: 'post',
  path: '/executions/bulk/cancel',
  summary: 'Cancel all executions that match a filter',
  body: schemas.bulkRequest,
  answers,
});

export const bulkRetry = operation({
  id: 'bulkRetryExecutions',
  permission: 'executions:control',
  tag: 'Executions',
  method: 'post',
  path: '/executions/bulk/retry',
  summary: 'Retry all failed or cancelled executions of a filter',
  description: 'The executions start as the queue has capacity.',
  body: schemas.bulkRequest,
  answers,
});

interface Needs {
  bulk: BulkControl;
}

export const bulkRoutes = endpoints([bulkCancel, bulkRetry], serve);

function serve(routes: Routes, { bulk }: Needs): void {
  for (const [op, verb] of [
    [bulkCancel, 'cancel'],
    [bulkRetry, 'retry'],
  ] as const) {
    routes.serve(op, async ({ body, caller, response }) => {
      const filter = filterOf(body.filter);
      if (!body.dry_run) {
        const { matched, runs } = await bulk.carryOut(caller, verb, filter, body.reason);
        return sendJson(response, 202, { dry_run: false, matched, executions: runs });
      }
      const { matched, runs, actions, users, workflows, actsAgain } = await bulk.plan(caller, verb, filter);
      sendJson(response, 200, {
        dry_run: true,
        matched,
        executions: runs,
        actions,
        tenant_id: caller.tenantId,
        users,
        workflows,
        acts_again: actsAgain.map(({ workflowId, actionId, actionType, runs: count }) => ({
          workflow_id: workflowId,
          action_id: actionId,
          action_type: actionType,
          executions: count,
        })),
      });
    });
  }
}

function filterOf(filter: schemas.BulkRequest['filter']): BulkFilter {
  return {
    executionIds: filter.execution_ids,
    workflowId: filter.workflow_id,
    correlationId: filter.correlation_id,
    status: filter.status,
    from: filter.from === undefined ? undefined : new Date(filter.from),
    to: filter.to === undefined ? undefined : new Date(filter.to),
  };
}
