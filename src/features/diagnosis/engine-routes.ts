/** The health of the engine behind the API. */

import { linesOfFaults, visibleFaults } from '../../domain/health/fault-problems.ts';
import { isoText } from '../../domain/texts/iso-text.ts';
import type { EngineHealth, LaneHealth, SweepHealth, WorkerHealth } from '../../engine/health/engine-health.ts';
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
});

interface Needs {
  clock: { now(): Date };
  engineHealth: EngineHealth;
  registry: Registry;
}

export const engineHealthRoutes = endpoints([getEngineHealth], serve);

function serve(routes: Routes, deps: Needs): void {
  routes.serve(getEngineHealth, async ({ caller, response }) => {
    const [report, open] = await Promise.all([
      deps.engineHealth.report(),
      // The report says by itself that the database cannot be reached.
      deps.registry.circuits(caller).catch(() => []),
    ]);
    const { status, faults, problems } = report;
    sendJson(response, status === 'unhealthy' ? 503 : 200, {
      status,
      service: 'workflow_management',
      timestamp: isoText(deps.clock.now()),
      database_connected: report.databaseConnected,
      queue_connected: report.queueConnected,
      active_executions: report.active,
      queued_executions: report.queued,
      stuck_executions: report.stuck,
      lanes: report.lanes.map(presentLane),
      workers: report.workers.map(presentWorker),
      sweep: report.sweep && presentSweep(report.sweep),
      problems: [...linesOfFaults(visibleFaults(faults, caller.tenantId)), ...problems],
      circuits: open.map(({ name, instanceId, worker, state, since }) => ({
        service: name,
        instance_id: instanceId,
        worker,
        state,
        since: isoText(since),
      })),
    });
  });
}

export function presentLane({ oldestWaitingSeconds, workers, ...counts }: LaneHealth): schemas.LaneHealth {
  return { ...counts, oldest_waiting_seconds: oldestWaitingSeconds, workers };
}

function presentWorker({ worker, alive, version, lanes, ...of }: WorkerHealth): schemas.WorkerHealth {
  return {
    ...{ worker, alive, version, lanes },
    active_tasks: of.activeTasks,
    event_loop_lag_ms: of.loopLagMs,
    started_at: isoText(of.startedAt),
    seen_at: isoText(of.seenAt),
  };
}

function presentSweep({ worker, dispatched, checked, repaired, ...pass }: SweepHealth): schemas.ReconcilerHealth {
  return {
    worker,
    last_pass_at: isoText(pass.lastPassAt),
    age_seconds: pass.ageSeconds,
    duration_ms: pass.durationMs,
    lag_seconds: pass.lagSeconds,
    ...{ dispatched, checked, repaired },
    dispatched_total: pass.dispatchedTotal,
    repaired_total: pass.repairedTotal,
    last_repair_at: isoText(pass.lastRepairAt),
  };
}
