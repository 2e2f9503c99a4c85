/** Numbers about the workflows of a tenant and their executions. */

import { endpoints, operation, type Routes, sendJson } from '../../http/server/operation.ts';
import type { StatisticsReader } from './ports.ts';
import { statisticsJson } from './present.ts';
import * as schemas from './schemas.ts';

const DAY_SECONDS = 86_400;

export const getStatistics = operation({
  id: 'getWorkflowStatistics',
  permission: 'executions:read',
  tag: 'Workflows',
  method: 'get',
  path: '/workflows/statistics',
  summary: 'Get statistics of workflow executions',
  description: 'Returns counts, rates and durations of the executions that were accepted within a window.',
  query: schemas.statisticsQuery,
  answers: { 200: { description: 'The statistics', schema: schemas.workflowStatistics } },
});

interface Needs {
  statistics: StatisticsReader;
}

export const workflowStatisticsRoutes = endpoints([getStatistics], serve);

function serve(routes: Routes, deps: Needs): void {
  routes.serve(getStatistics, async ({ query, caller, response }) => {
    const windowSeconds = query.window ?? DAY_SECONDS;
    const numbers = await deps.statistics.ofTenant(caller.tenantId, windowSeconds);
    sendJson(response, 200, statisticsJson(numbers, windowSeconds));
  });
}
