/** How everything stands that the service depends on. */

import { endpoints, operation, type Routes, sendJson } from '../../http/server/operation.ts';
import { type DependencyHealth, systemHealth } from '../../schemas/service-answers.ts';
import type { SystemHealth } from './check-system.ts';
import type { SystemProblems } from './find-problems.ts';
import { problemView } from './routes.ts';
import type { Problem } from './system-problems.ts';

export const getSystemHealth = operation({
  id: 'getSystemHealth',
  permission: 'system:read',
  tag: 'Service',
  method: 'get',
  path: '/health/system',
  summary: 'Get the health of all components',
  description:
    'Shows the status of the stores, lanes, workers, services and peers. The services are those of the tenant of the caller, with the results of their last health checks; a service without checks is `unknown`. A component that does not respond within `HEALTH_CHECK_TIMEOUT` is `unhealthy`. The response is cached for a second.',
  answers: {
    200: {
      description: 'Healthy, or degraded: a component is unhealthy, and executions are still accepted',
      schema: systemHealth,
    },
    503: { description: 'The database cannot be reached', schema: systemHealth },
  },
});

interface Needs {
  clock: { now(): Date };
  problems: SystemProblems;
  systemHealth: SystemHealth;
}

export const systemHealthRoutes = endpoints([getSystemHealth], serve);

function serve(routes: Routes, deps: Needs): void {
  const startedAt = deps.clock.now().getTime();
  routes.serve(getSystemHealth, async ({ caller, response }) => {
    const [{ status, services }, problems] = await Promise.all([
      deps.systemHealth.report(caller),
      deps.problems.find(caller),
    ]);
    const standing = Object.values(services).map((one) => one.status);
    const healthy = standing.filter((one) => one === 'healthy').length;
    const unhealthy = standing.filter((one) => one === 'unhealthy').length;
    const now = deps.clock.now();
    sendJson(response, status === 'unhealthy' ? 503 : 200, {
      status,
      overall_healthy: status === 'healthy',
      services,
      problems: [...problems, ...dependencyProblems(services)].map(problemView),
      services_checked: healthy + unhealthy,
      healthy_services: healthy,
      unhealthy_services: unhealthy,
      uptime: Math.round((now.getTime() - startedAt) / 1000),
      timestamp: now.toISOString(),
    });
  });
}

/** Of other services: the rest is reported by its cause. */
function dependencyProblems(services: Record<string, DependencyHealth>): Problem[] {
  return Object.entries(services)
    .filter(([, { kind, status }]) => status === 'unhealthy' && (kind === 'service' || kind === 'peer'))
    .map(([name, { detail }]) => ({
      code: 'dependency_unhealthy',
      message: `${name} is unhealthy${detail === undefined ? '' : `: ${detail}`}.`,
      todo: 'Mend it; it is asked again by itself.',
    }));
}
