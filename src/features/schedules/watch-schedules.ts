/**
 * Sees to it that the ticks go on: turns them on when there is something to wait for, again after the queue has lost
 * them, and off when nothing is left. When they fail to come, the watch starts what is due itself.
 */
import type { Logger } from '../../engine/ports/logger.ts';
import type { ScheduleTicks } from '../../engine/ports/queue.ts';
import type { DueSchedules } from './ports.ts';

export interface WatchDeps {
  schedules: Pick<DueSchedules, 'latenessMs'>;
  ticks: ScheduleTicks;
  /** Whether the queue answers: a command to one that does not would wait for it. */
  queueAnswers(): Promise<boolean>;
  tick(): Promise<number>;
  log: Logger;
}

/** Ticks come every second; a busy worker may be late for one. */
const LATE_MS = 3_000;

export function createScheduleWatch(deps: WatchDeps): () => Promise<void> {
  let mayBeOn = true;

  return async () => {
    const lateMs = await deps.schedules.latenessMs();
    const isLate = lateMs !== undefined && lateMs > LATE_MS;
    if (isLate) {
      const taken = await deps.tick();
      if (taken > 0) deps.log.warn('schedules_were_late', { late_ms: Math.round(lateMs), schedules: taken });
    }
    if (!(await deps.queueAnswers())) return;
    if (lateMs === undefined) {
      if (mayBeOn) await deps.ticks.turnOff();
      mayBeOn = false;
      return;
    }
    mayBeOn = true;
    if (isLate || !(await deps.ticks.isOn())) await deps.ticks.turnOn();
  };
}
