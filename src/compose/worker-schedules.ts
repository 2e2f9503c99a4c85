/** What a worker does for schedules: it takes ticks, and watches that they come. */
import { v4 as uuidv4 } from 'uuid';
import { createCancelRuns } from '../engine/cancel-run.ts';
import type { ChildStore } from '../engine/child-ports.ts';
import { repeatUntil } from '../engine/sweep.ts';
import { tickSchedules } from '../engine/tick-schedules.ts';
import { createScheduleWatch } from '../engine/watch-schedules.ts';
import { openScheduleTicks } from '../queue/schedule-ticks.ts';
import { createScheduleStore } from '../store/schedules.ts';

import { acceptInWorker, type WorkerAcceptParts } from './worker-accept.ts';

const WATCH_EVERY_MS = 1_000;

export interface KeepSchedules {
  ready(): Promise<unknown>;
  watchUntil(signal: AbortSignal): Promise<void>;
  close(): Promise<void>;
}

export function keepSchedules(
  parts: WorkerAcceptParts & { children: ChildStore },
  stopping: AbortSignal,
): KeepSchedules {
  const { pool, backend, runs, children, plans, failpoint, log } = parts;
  // While the schedule is locked nothing waits for the queue for long.
  const { accept, queue } = acceptInWorker(parts);
  const schedules = createScheduleStore(pool);
  const deps = {
    schedules,
    accept,
    cancel: createCancelRuns({ plans, runs, children, queue, failpoint, log }),
    newTraceId: () => uuidv4().replaceAll('-', ''),
    log,
  };
  const tick = () => tickSchedules(deps, stopping);
  const ticks = openScheduleTicks(backend, parts.config, tick);
  const watch = createScheduleWatch({ schedules, ticks, queueAnswers: queue.ping, tick, log });
  return {
    ready: () => ticks.ready(),
    watchUntil: (signal) => repeatUntil(signal, WATCH_EVERY_MS, 'watch_schedules', watch, log),
    async close() {
      await ticks.close();
      await queue.close();
    },
  };
}
