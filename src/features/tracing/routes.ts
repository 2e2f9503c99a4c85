/** Traces: what happened on behalf of one request, in this service and in those that it called. */

import { endpoints, operation, type Routes, sendJson } from '../../http/server/operation.ts';
import type { ServiceTrace, TraceCounts, TraceReader } from './ports.ts';
import * as schemas from './schemas.ts';
import { traceOf } from './spans.ts';

export const getTracingStats = operation({
  id: 'getTracingStats',
  permission: 'infrastructure:read',
  tag: 'Infrastructure',
  method: 'get',
  path: '/infrastructure/tracing/stats',
  summary: 'Get trace statistics',
  description:
    'Counts traces by how they ended. Executions that started with the same `traceparent` are one trace, including all executions that they started themselves.',
  query: schemas.tracingStatsQuery,
  answers: { 200: { description: 'The statistics', schema: schemas.tracingStats } },
});

export const getTrace = operation({
  id: 'getTrace',
  permission: 'infrastructure:read',
  tag: 'Infrastructure',
  method: 'get',
  path: '/infrastructure/tracing/trace/{trace_id}',
  summary: 'Get a trace with its spans',
  description:
    'Executions, tasks and attempts are available as long as the execution is stored; calls made by workers are retained according to TRACE_RETENTION_HOURS. An unknown trace has no spans.',
  answers: { 200: { description: 'The trace', schema: schemas.trace } },
});

export const getServiceTraces = operation({
  id: 'getServiceTraces',
  permission: 'infrastructure:read',
  tag: 'Infrastructure',
  method: 'get',
  path: '/infrastructure/tracing/service/{service_name}',
  summary: 'List the newest traces that called a service',
  description: '`orchestrator` is this service itself. A service that is called by its URL is identified by its host.',
  query: schemas.serviceTracesQuery,
  answers: { 200: { description: 'The traces', schema: schemas.serviceTraces } },
});

interface Needs {
  traces: TraceReader;
}

export const tracingRoutes = endpoints([getTracingStats, getTrace, getServiceTraces], serve);

function serve(routes: Routes, { traces }: Needs): void {
  routes.serve(getTracingStats, async ({ query, caller, response }) => {
    sendJson(response, 200, statsJson(await traces.stats(caller.tenantId, query.hours)));
  });
  routes.serve(getTrace, async ({ params, caller, response }) => {
    const traceId = params['trace_id'] ?? '';
    const { records, now } = await traces.trace(caller.tenantId, traceId);
    sendJson(response, 200, traceOf(traceId, records, now));
  });
  routes.serve(getServiceTraces, async ({ params, query, caller, response }) => {
    const name = params['service_name'] ?? '';
    const found = await traces.ofService(caller.tenantId, name, query.limit);
    sendJson(response, 200, { service_name: name, traces: found.traces.map(serviceTraceJson), total: found.total });
  });
}

function statsJson({ total, active, failed, seconds, since }: TraceCounts): schemas.TracingStats {
  const over = total - active;
  return {
    total_traces: total,
    active_traces: active,
    completed_traces: over - failed,
    failed_traces: failed,
    avg_trace_duration: Math.round(seconds * 1000) / 1000,
    error_rate: over === 0 ? 0 : Math.round((failed / over) * 10_000) / 10_000,
    since: since?.toISOString() ?? null,
  };
}

function serviceTraceJson(row: ServiceTrace): schemas.ServiceTraces['traces'][number] {
  const from = row.started ?? row.first;
  const to = row.ended ?? row.last;
  return {
    trace_id: row.traceId,
    status: statusOf(row),
    start_time: from.toISOString(),
    duration_ms: Math.max(0, to.getTime() - from.getTime()),
    calls: row.calls,
    errors: row.errors,
  };
}

function statusOf({ over, failed, errors }: ServiceTrace): 'active' | 'completed' | 'failed' {
  if (over === null) return errors > 0 ? 'failed' : 'completed';
  if (!over) return 'active';
  return failed === true ? 'failed' : 'completed';
}
