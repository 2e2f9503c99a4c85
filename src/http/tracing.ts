/** Traces: what happened on behalf of one request, in this service and in those that it called. */
import * as schemas from '../schemas/tracing.ts';
import type { HttpDeps } from './deps.ts';
import { operation, type Routes, sendJson } from './operation.ts';

export const getTracingStats = operation({
  id: 'getTracingStats',
  permission: 'infrastructure:read',
  tag: 'Infrastructure',
  method: 'get',
  path: '/infrastructure/tracing/stats',
  summary: 'How many traces there are, and how they ended',
  description: 'Executions that began with the same `traceparent` are one trace, with all that they began themselves.',
  query: schemas.tracingStatsQuery,
  answers: { 200: { description: 'The numbers', schema: schemas.tracingStats } },
  problems: [400, 401],
});

export const getTrace = operation({
  id: 'getTrace',
  permission: 'infrastructure:read',
  tag: 'Infrastructure',
  method: 'get',
  path: '/infrastructure/tracing/trace/{trace_id}',
  summary: 'One trace, with its spans',
  description:
    'Executions, tasks and attempts are kept as long as the execution; the calls that workers made as long as TRACE_RETENTION_HOURS says. One that is not known has no spans.',
  answers: { 200: { description: 'The trace', schema: schemas.trace } },
  problems: [400, 401],
});

export const getServiceTraces = operation({
  id: 'getServiceTraces',
  permission: 'infrastructure:read',
  tag: 'Infrastructure',
  method: 'get',
  path: '/infrastructure/tracing/service/{service_name}',
  summary: 'The newest traces in which a service was called',
  description: '`orchestrator` is this service itself. One that is called by its URL is known by its host.',
  query: schemas.serviceTracesQuery,
  answers: { 200: { description: 'The traces', schema: schemas.serviceTraces } },
  problems: [400, 401],
});

export function tracingRoutes(routes: Routes, { traces }: HttpDeps): void {
  routes.serve(getTracingStats, async ({ query, caller, response }) => {
    sendJson(response, 200, await traces.stats(caller.tenantId, query.hours));
  });
  routes.serve(getTrace, async ({ params, caller, response }) => {
    sendJson(response, 200, await traces.trace(caller.tenantId, params['trace_id'] ?? ''));
  });
  routes.serve(getServiceTraces, async ({ params, query, caller, response }) => {
    sendJson(response, 200, await traces.ofService(caller.tenantId, params['service_name'] ?? '', query.limit));
  });
}
