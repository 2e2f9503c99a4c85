/** Lets one through every so often, by key. Nothing is stored of a key that nobody waits for. */
import { setTimeout as sleep } from 'node:timers/promises';

export interface SlowLanes {
  /** False: too many wait already. */
  wait(key: string): Promise<boolean>;
}

export function createSlowLanes({ everyMs, mostWaiting }: { everyMs: number; mostWaiting: number }): SlowLanes {
  const lanes = new Map<string, { waiting: number; last: Promise<void> }>();
  return {
    async wait(key) {
      const lane = lanes.get(key) ?? { waiting: 0, last: Promise.resolve() };
      if (lane.waiting >= mostWaiting) return false;
      lane.waiting += 1;
      lane.last = lane.last.then(() => sleep(everyMs));
      lanes.set(key, lane);
      await lane.last;
      lane.waiting -= 1;
      if (lane.waiting === 0) lanes.delete(key);
      return true;
    },
  };
}
