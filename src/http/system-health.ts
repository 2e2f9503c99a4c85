/** How everything stands that the service depends on. */
import type { Problem } from '../domain/system-problems.ts';
import { type DependencyHealth, systemHealth } from '../schemas/service-answers.ts';
import type { HttpDeps } from './deps.ts';
import { operation, type Routes, sendJson } from './operation.ts';
import { problemView } from './why.ts';

export const getSystemHealth = operation({
  id: 'getSystemHealth',
  permission: 'system:read',
  tag: 'Service',
  method: 'get',
  path: '/health/system',
  summary: 'The stores, lanes, workers, services and peers, each with how it stands',
  description:
    'The services are those of the tenant that asks, as their health checks have last found them; one without checks is `unknown`. ' +
    'What does not answer within `HEALTH_CHECK_TIMEOUT` is `unhealthy`. An answer is kept for a second.',
  answers: {
    200: {
      description: 'Healthy, or degraded: something is unhealthy, and runs are still accepted',
      schema: systemHealth,
    },
    503: { description: 'The database cannot be reached', schema: systemHealth },
  },
  problems: [401],
});

export function systemHealthRoutes(routes: Routes, deps: HttpDeps): void {
  const begun = deps.clock.now().getTime();
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
      uptime: Math.round((now.getTime() - begun) / 1000),
      timestamp: now.toISOString(),
    });
  });
}

/** Of what is not ours: the rest is told by its cause. */
function dependencyProblems(services: Record<string, DependencyHealth>): Problem[] {
  return Object.entries(services)
    .filter(([, { kind, status }]) => status === 'unhealthy' && (kind === 'service' || kind === 'peer'))
    .map(([name, { detail }]) => ({
      code: 'dependency_unhealthy',
      message: `${name} is unhealthy${detail === undefined ? '' : `: ${detail}`}.`,
      todo: 'Mend it; it is asked again by itself.',
    }));
}
