/** How long the event loop of this process stands still: nothing is answered meanwhile, and no lock renewed. */
import { monitorEventLoopDelay } from 'node:perf_hooks';

export interface LoopMonitor {
  /** The longest stop since the last call. */
  takeLongestMs(): number;
  /** The longest stop of about the last minute. */
  recentMs(): number;
  stop(): void;
}

const RESOLUTION_MS = 20;
const LOOK_EVERY_MS = 1_000;
const KEPT_LOOKS = 60;
/** A stop of that length is said. */
export const LAG_WORTH_SAYING_MS = 1_000;

export function monitorLoop(onStop: (lagMs: number) => void): LoopMonitor {
  const delays = monitorEventLoopDelay({ resolution: RESOLUTION_MS });
  delays.enable();
  const recent: number[] = [];
  let longest = 0;
  let lastLook = performance.now();
  const look = () => {
    const now = performance.now();
    // After a stop either timer may come first; a reset makes the histogram forget a stop that it has yet to see.
    const lagMs = Math.max(0, delays.max / 1e6 - RESOLUTION_MS, now - lastLook - LOOK_EVERY_MS);
    lastLook = now;
    delays.reset();
    longest = Math.max(longest, lagMs);
    recent.push(lagMs);
    if (recent.length > KEPT_LOOKS) recent.shift();
    if (lagMs > LAG_WORTH_SAYING_MS) onStop(lagMs);
  };
  const timer = setInterval(look, LOOK_EVERY_MS);
  timer.unref();
  return {
    takeLongestMs() {
      const taken = longest;
      longest = 0;
      return taken;
    },
    recentMs: () => Math.max(0, ...recent),
    stop() {
      clearInterval(timer);
      delays.disable();
    },
  };
}
