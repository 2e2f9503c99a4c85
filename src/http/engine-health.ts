/** The health of the engine behind the door. */
import { linesOfFaults, visibleFaults } from '../domain/fault-problems.ts';
import * as schemas from '../schemas/engine-health.ts';
import type { HttpDeps } from './deps.ts';
import { operation, type Routes, sendJson } from './operation.ts';

export const getEngineHealth = operation({
  id: 'getEngineHealth',
  permission: 'system:read',
  tag: 'Workflows',
  method: 'get',
  path: '/workflows/health',
  summary:
    'The health of the engine: lanes, workers, executions that do not move, the sweep, circuits that are not closed',
  answers: {
    200: { description: 'Healthy, or degraded: `problems` says why', schema: schemas.engineHealth },
    503: {
      description: 'The database cannot be reached, or tasks cannot be committed on it',
      schema: schemas.engineHealth,
    },
  },
  problems: [401],
});

export function engineHealthRoutes(routes: Routes, deps: HttpDeps): void {
  routes.serve(getEngineHealth, async ({ caller, response }) => {
    const [{ status, faults, problems, ...report }, open] = await Promise.all([
      deps.engineHealth.report(),
      // The report says by itself that the database cannot be reached.
      deps.registry.circuits(caller).catch(() => []),
    ]);
    const timestamp = deps.clock.now().toISOString();
    sendJson(response, status === 'unhealthy' ? 503 : 200, {
      status,
      service: 'workflow_management',
      timestamp,
      ...report,
      problems: [...linesOfFaults(visibleFaults(faults, caller.tenantId)), ...problems],
      circuits: open.map(({ name, instanceId, worker, state, since }) => ({
        service: name,
        instance_id: instanceId,
        worker,
        state,
        since: since.toISOString(),
      })),
    });
  });
}
