/** Numbers about the workflows of a tenant and their executions. */
import * as schemas from '../schemas/workflow-statistics.ts';
import type { HttpDeps } from './deps.ts';
import { operation, type Routes, sendJson } from './operation.ts';

const DAY_SECONDS = 86_400;

export const getStatistics = operation({
  id: 'getWorkflowStatistics',
  permission: 'executions:read',
  tag: 'Workflows',
  method: 'get',
  path: '/workflows/statistics',
  summary: 'Counts, rates and durations of the executions accepted within a window',
  query: schemas.statisticsQuery,
  answers: { 200: { description: 'The numbers', schema: schemas.workflowStatistics } },
  problems: [400, 401],
});

export function workflowStatisticsRoutes(routes: Routes, deps: HttpDeps): void {
  routes.serve(getStatistics, async ({ query, caller, response }) => {
    const seconds = query.window ?? DAY_SECONDS;
    const numbers = await deps.catalog.statistics.ofTenant(caller.tenantId, seconds);
    const to = numbers.generated_at;
    const from = new Date(Date.parse(to) - seconds * 1000).toISOString();
    sendJson(response, 200, { window: { seconds, from, to }, ...numbers });
  });
}
