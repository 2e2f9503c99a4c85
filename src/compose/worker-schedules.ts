/** What a worker does for schedules: it takes ticks, and watches that they come. */
import type pg from 'pg';
import { v4 as uuidv4, v7 as uuidv7 } from 'uuid';
import type { Config } from '../config.ts';
import { DEFAULT_RETRY } from '../domain/definition.ts';
import { type AcceptDeps, createAcceptRuns } from '../engine/accept-run.ts';
import { createAdmission } from '../engine/admit.ts';
import { createCancelRuns } from '../engine/cancel-run.ts';
import type { ChildStore } from '../engine/child-ports.ts';
import type { Logger, RunStore } from '../engine/ports.ts';
import { createEndReplaced } from '../engine/run-concurrency.ts';
import { repeatUntil } from '../engine/sweep.ts';
import { tickSchedules } from '../engine/tick-schedules.ts';
import { createScheduleWatch } from '../engine/watch-schedules.ts';
import type { Backend } from '../queue/backend.ts';
import { createFlowQueue } from '../queue/flow-queue.ts';
import { openScheduleTicks } from '../queue/schedule-ticks.ts';
import { createScheduleStore } from '../store/schedules.ts';
import { createWorkflowHeads } from '../store/workflow-heads.ts';

import { fairnessOf } from './fairness.ts';

const WATCH_EVERY_MS = 1_000;
/** While the schedule is locked; the dispatcher adds what could not be added. */
const QUEUE_TIMEOUT_MS = 2_000;

export interface KeepSchedules {
  ready(): Promise<unknown>;
  watchUntil(signal: AbortSignal): Promise<void>;
  close(): Promise<void>;
}

export function keepSchedules(
  parts: Pick<AcceptDeps, 'actionTypes' | 'workflows' | 'plans' | 'failpoint'> & {
    pool: pg.Pool;
    backend: Backend;
    runs: RunStore;
    children: ChildStore;
    config: Config;
    log: Logger;
  },
  stopping: AbortSignal,
): KeepSchedules {
  const { pool, backend, runs, children, plans, failpoint, config, log } = parts;
  const queue = createFlowQueue({ backend, timeoutMs: QUEUE_TIMEOUT_MS });
  const admission = createAdmission({
    plans,
    runs,
    queue,
    failpoint,
    window: config.admissionWindow,
    fairness: fairnessOf(config),
    log,
    now: () => performance.now(),
  });
  const { maxAttempts: max_attempts, backoffBase: initial_delay_seconds } = config.defaultRetry;
  const accept = createAcceptRuns({
    ...parts,
    workflowHead: createWorkflowHeads(pool),
    admission: {
      async admit(accepted) {
        // The commands of a worker wait for the connection.
        if (await queue.ping()) await admission.admit(accepted);
      },
    },
    endReplaced: createEndReplaced({ plans, runs, queue, log }),
    defaults: {
      timeout_seconds: config.defaultTimeoutSeconds,
      retry: { ...DEFAULT_RETRY, max_attempts, initial_delay_seconds },
    },
    newId: uuidv7,
  });
  const schedules = createScheduleStore(pool);
  const deps = {
    schedules,
    accept,
    cancel: createCancelRuns({ plans, runs, children, queue, failpoint, log }),
    newTraceId: () => uuidv4().replaceAll('-', ''),
    log,
  };
  const tick = () => tickSchedules(deps, stopping);
  const ticks = openScheduleTicks(backend, tick);
  const watch = createScheduleWatch({ schedules, ticks, queueAnswers: queue.ping, tick, log });
  return {
    ready: () => ticks.ready(),
    watchUntil: (signal) => repeatUntil(signal, WATCH_EVERY_MS, watch, log),
    async close() {
      await ticks.close();
      await queue.close();
    },
  };
}
