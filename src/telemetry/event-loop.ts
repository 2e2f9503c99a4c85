/** How long the event loop of this process stands still: nothing is answered meanwhile, and no lock renewed. */

export interface LoopMonitor {
  /** The longest stop since the last call. */
  takeLongestMs(): number;
  /** The longest stop of about the last minute. */
  recentMs(): number;
  stop(): void;
}

/**
 * How late a tick comes is how long the loop stood still, less one tick at most. (The histogram of node:perf_hooks forgets,
 * when it is reset, a stop that it has not recorded yet.)
 */
const TICK_MS = 100;
const SAMPLE_EVERY_TICKS = 10;
const MAX_SAMPLES = 60;
/** A stop of that length is said. */
export const LAG_WORTH_SAYING_MS = 1_000;

export function monitorLoop(onStop: (lagMs: number) => void): LoopMonitor {
  const recent: number[] = [];
  let longest = 0;
  let sinceSample = 0;
  let ticks = 0;
  let lastTick = performance.now();
  const sample = () => {
    longest = Math.max(longest, sinceSample);
    recent.push(sinceSample);
    if (recent.length > MAX_SAMPLES) recent.shift();
    if (sinceSample > LAG_WORTH_SAYING_MS) onStop(sinceSample);
    sinceSample = 0;
  };
  const tick = () => {
    const now = performance.now();
    sinceSample = Math.max(sinceSample, now - lastTick - TICK_MS);
    lastTick = now;
    ticks += 1;
    if (ticks % SAMPLE_EVERY_TICKS === 0 || sinceSample > LAG_WORTH_SAYING_MS) sample();
  };
  const timer = setInterval(tick, TICK_MS);
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
    },
  };
}
