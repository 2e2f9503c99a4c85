/** The health of the engine behind the door. */

import { linesOfFaults, visibleFaults } from '../../domain/health/fault-problems.ts';
import type { EngineHealth } from '../../engine/health/engine-health.ts';
import { endpoints, operation, type Routes, sendJson } from '../../http/server/operation.ts';
import * as schemas from '../../schemas/engine-health.ts';
import type { Registry } from '../services/registry.ts';

export const getEngineHealth = operation({
  id: 'getEngineHealth',
  permission: 'system:read',
  tag: 'Workflows',
  method: 'get',
  path: '/workflows/health',
  summary: 'Get the health of the engine',
  description:
    'The response covers lanes, workers, executions without progress, the reconciler, and circuits that are not closed.',
  answers: {
    200: { description: 'Healthy, or degraded with the reasons in `problems`', schema: schemas.engineHealth },
    503: {
      description: 'The database cannot be reached, or cannot commit tasks',
      schema: schemas.engineHealth,
    },
  },
  problems: [401],
});

interface Needs {
  clock: { now(): Date };
  engineHealth: EngineHealth;
  registry: Registry;
}

export const engineHealthRoutes = endpoints([getEngineHealth], serve);

function serve(routes: Routes, deps: Needs): void {
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
