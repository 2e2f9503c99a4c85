/** What operators do with executions, workflows and lanes: cancel, pause, go on, again. */
import { v7 as uuidv7 } from 'uuid';
import { createCancelRuns } from '../../engine/control/cancel-run.ts';
import { createControlOperations } from '../../engine/control/control-operations.ts';
import { createLanes } from '../../engine/control/lanes.ts';
import { createPauseRuns } from '../../engine/control/pause-run.ts';
import { createPauseWorkflows } from '../../engine/control/pause-workflow.ts';
import { createRerunRuns } from '../../engine/control/rerun-run.ts';
import { createRetryRuns } from '../../engine/control/retry-run.ts';
import type { LaneDepths } from '../../engine/health/engine-health.ts';
import { createDeleteWorkflow } from '../../engine/workflows/delete-workflow.ts';
import { createControlEvents, createWorkflowPauses } from '../../store/runs/control-events.ts';
import { createControlOperationStore } from '../../store/runs/control-operations.ts';
import { createLanePauseStore } from '../../store/runs/lane-pauses.ts';
import { createPauseStore } from '../../store/runs/pause-runs.ts';
import type { ApiEngine } from './engine.ts';
import type { ApiResources } from './resources.ts';

export function controlOf({ pool, everyTenant, prisma }: ApiResources, engine: ApiEngine, depths: LaneDepths) {
  const deps = {
    ...engine.reopening,
    runs: engine.runs,
    children: engine.children,
    tasks: engine.tasks,
    newId: uuidv7,
  };
  const cancel = createCancelRuns(deps);
  const pause = createPauseRuns({ ...deps, pauses: createPauseStore(pool) });
  const controlEvents = createControlEvents(prisma);
  const operations = createControlOperations({
    ...deps,
    operations: createControlOperationStore(pool),
    cancelRun: cancel.cancelRun,
    pause,
  });
  return {
    ...{ cancel, pause, operations, controlEvents },
    retry: createRetryRuns(deps),
    rerun: createRerunRuns({ ...deps, isIdempotent: engine.catalogue.isIdempotent }),
    pauseWorkflows: createPauseWorkflows({ workflows: createWorkflowPauses(pool), operations, newId: uuidv7 }),
    deleteWorkflow: createDeleteWorkflow({ ...engine.changing, operations, newId: uuidv7 }),
    // Pauses are of everybody's work.
    lanes: createLanes({ ...deps, depths, lanes: engine.catalogue.names(), pauses: createLanePauseStore(everyTenant) }),
  };
}
