/** What the service says of itself. */

import type { RequestHandler } from 'express';
import { z } from 'zod';
import { OrchestratorError } from '../../domain/errors.ts';
import { plainWords } from '../../domain/health/system-faults.ts';
import type { Health } from '../../engine/ports/use-cases.ts';
import type { WritePath } from '../../engine/recover/write-path.ts';
import * as answers from '../../schemas/answers.ts';
import type { EffectiveConfig } from '../../schemas/effective-config.ts';
import { effectiveConfig } from '../../schemas/effective-config.ts';
import { metricsAnswer } from '../../schemas/service-answers.ts';
import type { HttpConfig } from '../server/core.ts';
import type { Links } from '../server/links.ts';
import type { MetricsRegistry } from '../server/metrics.ts';
import { sendMetrics } from '../server/metrics.ts';
import { endpoints, operation, type Routes, sendJson } from '../server/operation.ts';

const NAME = 'orchestrator';
const DESCRIPTION = 'A durable workflow orchestrator on BullMQ and PostgreSQL';
const CAPABILITIES = [
  'tasks',
  'workflows',
  'templates',
  'retries',
  'idempotency',
  'bulk',
  'dry_run',
  'cancellation',
  'retry',
  'events',
  'approvals',
  'signals',
  'schedules',
  'dead_letters',
  'versions',
  'sub_workflows',
  'fan_out',
  'sagas',
  'external_tasks',
  'webhooks',
  'service_registry',
];

export const getService = operation({
  id: 'getService',
  permission: 'authenticated',
  tag: 'Service',
  method: 'get',
  path: '/',
  summary: 'Get the service information',
  description: 'Returns the name, version, status and links of the service.',
  answers: { 200: { description: 'The service', schema: answers.serviceInformation } },
});

export const getHealth = operation({
  id: 'getHealth',
  permission: 'public',
  tag: 'Service',
  method: 'get',
  path: '/health',
  summary: 'Get the health of the database and Redis',
  description:
    '`redis` is `not_configured` if the queue is in PostgreSQL. `degraded`: an operation fails repeatedly, as `problems` names it (docs/diagnosis.md), and executions are still accepted.',
  answers: {
    200: { description: 'Healthy', schema: answers.healthAnswer },
    503: { description: 'Unhealthy', schema: answers.healthAnswer },
  },
});

export const liveness = ['/livez', '/healthz'].map((path) =>
  operation({
    id: `get${path === '/livez' ? 'Livez' : 'Healthz'}`,
    permission: 'public',
    tag: 'Service',
    method: 'get',
    path,
    summary: 'Check that the process is alive',
    description: 'The database and Redis are not checked.',
    answers: { 200: { description: 'Alive', schema: answers.livenessAnswer } },
  }),
);

export const readiness = ['/ready', '/readyz'].map((path) =>
  operation({
    id: `get${path === '/ready' ? 'Ready' : 'Readyz'}`,
    permission: 'public',
    tag: 'Service',
    method: 'get',
    path,
    summary: 'Check that the service can accept requests',
    description:
      'This requires the database, which must be able to commit tasks (`unusable`: it cannot, until it is repaired). While Redis is unavailable, executions are still accepted and start once it is back.',
    answers: {
      200: { description: 'Ready', schema: answers.readinessAnswer },
      503: { description: 'Not ready', schema: answers.readinessAnswer },
    },
  }),
);

export const getInfo = operation({
  id: 'getInfo',
  permission: 'authenticated',
  tag: 'Service',
  method: 'get',
  path: '/info',
  summary: 'Get the capabilities of the service',
  answers: { 200: { description: 'The service', schema: answers.informationAnswer } },
});

const metricsText = z.string().meta({ example: 'orchestrator_up 1\n' });

export const getMetrics = operation({
  id: 'getMetrics',
  permission: 'system:read',
  tag: 'Service',
  method: 'get',
  path: '/metrics',
  summary: 'Get metrics',
  description:
    'The metrics are in the Prometheus text format by default. `Accept: application/openmetrics-text` returns OpenMetrics 1.0, whose histograms refer to traces (exemplars); `application/json` returns JSON. The response is 404 with `METRICS_ENABLED=false`.',
  answers: {
    200: {
      description: 'The metrics',
      schema: metricsText,
      mediaType: 'text/plain',
      others: { 'application/openmetrics-text': metricsText, 'application/json': metricsAnswer },
    },
  },
  problems: ['not_found'],
});

export const getEffectiveConfig = operation({
  id: 'getEffectiveConfig',
  permission: 'system:inspect',
  tag: 'Service',
  method: 'get',
  path: '/config/effective',
  summary: 'Get the effective configuration',
  description:
    'Returns every setting of the API process that responds, with its value and its source. Secrets are masked as `***`; URLs are shown without user, password and query.',
  answers: { 200: { description: 'The settings', schema: effectiveConfig } },
});

interface Needs {
  clock: { now(): Date };
  config: HttpConfig;
  effectiveConfig: EffectiveConfig;
  health: Health;
  metrics: MetricsRegistry | undefined;
  writePath: Pick<WritePath, 'fault' | 'lastFault'>;
  links: Links;
}

export const serviceRoutes = endpoints(
  [getService, getHealth, ...liveness, ...readiness, getInfo, getMetrics, getEffectiveConfig],
  serve,
);

function serve(routes: Routes, deps: Needs): void {
  const { links } = deps;
  const { version, buildTime, commitSha } = deps.config;
  const now = () => deps.clock.now().toISOString();
  const startedAt = deps.clock.now().getTime();

  routes.serve(getService, ({ response }) => {
    sendJson(response, 200, {
      message: 'AI Agent Orchestrator Service',
      service: 'orchestrator_service',
      status: 'running',
      version,
      timestamp: now(),
      links: {
        docs: links.at('/docs'),
        redoc: links.at('/redoc'),
        openapi: links.at('/openapi.json'),
        health: links.at('/health'),
        action_types: links.at('/action-types'),
        workflows: links.at('/workflows'),
        executions: links.at('/executions'),
        queues: links.at('/admin/queues'),
        metrics: links.at('/metrics'),
      },
    });
  });

  routes.raw(getHealth, async (_request, response) => {
    const { database, redis, problems } = await deps.health.check();
    const fault = deps.writePath.lastFault();
    const up = database && redis !== false && fault === undefined;
    sendJson(response, up ? 200 : 503, {
      status: !up ? 'unhealthy' : problems.length > 0 ? 'degraded' : 'healthy',
      service: NAME,
      version,
      redis: word(redis),
      database: word(database),
      problems: [...new Set([...(fault === undefined ? [] : ['database_not_usable']), ...problems])],
      timestamp: now(),
    });
  });

  const alive: RequestHandler = (_request, response) =>
    sendJson(response, 200, { status: 'alive', service: NAME, timestamp: now() });
  for (const op of liveness) routes.raw(op, alive);

  const ready: RequestHandler = async (_request, response) => {
    const { database, redis } = await deps.health.check();
    const fault = database ? await deps.writePath.fault() : undefined;
    const isReady = database && fault === undefined;
    sendJson(response, isReady ? 200 : 503, {
      ready: isReady,
      status: isReady ? 'ready' : database ? 'unusable' : 'starting',
      service: NAME,
      checks: { database: word(database), redis: word(redis) },
      // The probes are open to everybody: the class and what it means, and nothing of the server's.
      ...(fault === undefined
        ? {}
        : { problem: { code: 'database_not_usable', class: fault.class, message: plainWords(fault.class) } }),
    });
  };
  for (const op of readiness) routes.raw(op, ready);

  routes.serve(getInfo, ({ response }) => {
    sendJson(response, 200, {
      service: NAME,
      version,
      description: DESCRIPTION,
      capabilities: CAPABILITIES,
      routes_count: routes.operations().length,
      uptime_seconds: Math.round((deps.clock.now().getTime() - startedAt) / 1000),
      ...(buildTime === undefined ? {} : { build_time: buildTime }),
      ...(commitSha === undefined ? {} : { commit_sha: commitSha }),
    });
  });

  routes.serve(getEffectiveConfig, ({ response }) => sendJson(response, 200, deps.effectiveConfig));

  routes.raw(getMetrics, async (request, response) => {
    if (deps.metrics === undefined) throw new OrchestratorError('not_found', 'METRICS_ENABLED is false');
    await sendMetrics(deps.metrics, request, response);
  });
}

function word(connected: boolean | null): string {
  if (connected === null) return 'not_configured';
  return connected ? 'connected' : 'disconnected';
}
