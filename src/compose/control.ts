/** What operators do with executions, workflows and lanes: cancel, pause, go on, again. */
import type pg from 'pg';
import { createBulkControl } from '../engine/bulk-control.ts';
import { createCancelRuns } from '../engine/cancel-run.ts';
import { createControlOperations } from '../engine/control-operations.ts';
import { createLanes } from '../engine/lanes.ts';
import { createPauseRuns } from '../engine/pause-run.ts';
import { createPauseWorkflows } from '../engine/pause-workflow.ts';
import { createRerunRuns } from '../engine/rerun-run.ts';
import { createRetryRuns } from '../engine/retry-run.ts';
import type { HttpDeps } from '../http/deps.ts';
import { createControlEvents } from '../store/control-events.ts';
import { createControlOperationStore } from '../store/control-operations.ts';
import { createLanePauseStore } from '../store/lane-pauses.ts';
import { createPauseStore } from '../store/pause-runs.ts';

type Needs = Parameters<typeof createRetryRuns>[0] &
  Pick<Parameters<typeof createCancelRuns>[0], 'children' | 'runs' | 'queue'> &
  Pick<Parameters<typeof createPauseRuns>[0], 'runs'> &
  Pick<Parameters<typeof createBulkControl>[0], 'reader'> &
  Pick<Parameters<typeof createLanes>[0], 'queue' | 'depths' | 'lanes'> &
  Pick<Parameters<typeof createRerunRuns>[0], 'isIdempotent'> & {
    pool: pg.Pool;
    everyTenant: pg.Pool;
    newId(): string;
  };

export function controlOf(
  deps: Needs,
): Pick<
  HttpDeps,
  'cancel' | 'retry' | 'rerun' | 'bulk' | 'pause' | 'pauseWorkflows' | 'operations' | 'controlEvents' | 'lanes'
> {
  const { pool, everyTenant } = deps;
  const cancel = createCancelRuns(deps);
  const pause = createPauseRuns({ ...deps, pauses: createPauseStore(pool) });
  const controlEvents = createControlEvents(pool);
  const operations = createControlOperations({
    ...deps,
    operations: createControlOperationStore(pool),
    cancelRun: cancel.cancelRun,
    pause,
  });
  return {
    cancel,
    retry: createRetryRuns(deps),
    rerun: createRerunRuns(deps),
    bulk: createBulkControl({ ...deps, cancel }),
    pause,
    pauseWorkflows: createPauseWorkflows({ workflows: controlEvents, operations, newId: deps.newId }),
    operations,
    controlEvents,
    // Pauses are of everybody's work.
    lanes: createLanes({ ...deps, pauses: createLanePauseStore(everyTenant) }),
  };
}
