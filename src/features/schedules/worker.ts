/** What a worker has of it: it takes ticks, and watches that they come. */
import { v4 as uuidv4 } from 'uuid';
import { createCancelRuns } from '../../engine/control/cancel-run.ts';
import { repeatUntil } from '../../engine/recover/reconcile.ts';
import type { FeatureWorker } from '../../feature.ts';
import { openScheduleTicks } from '../../queue/schedule-ticks.ts';
import { createDueSchedules } from './store.ts';
import { tickSchedules } from './tick-schedules.ts';
import { createScheduleWatch } from './watch-schedules.ts';

const WATCH_EVERY_MS = 1_000;

export const worker: FeatureWorker = {
  open({ pool, backend, briefQueue: queue, config, accept, ...parts }) {
    const { log } = parts;
    const schedules = createDueSchedules(pool);
    // While the schedule is locked nothing waits for the queue for long.
    const cancel = createCancelRuns({ ...parts, queue });
    const deps = { schedules, accept, cancel, newTraceId: () => uuidv4().replaceAll('-', ''), log };
    const stopping = new AbortController();
    const tick = () => tickSchedules(deps, stopping.signal);
    const ticks = openScheduleTicks(backend, config, tick);
    const watch = createScheduleWatch({ schedules, ticks, queueAnswers: queue.ping, tick, log });
    return {
      ready: () => ticks.ready(),
      work(signal) {
        signal.addEventListener('abort', () => stopping.abort(), { once: true });
        return repeatUntil({ signal, log }, WATCH_EVERY_MS, 'watch_schedules', watch);
      },
      close: () => ticks.close(),
    };
  },
};
