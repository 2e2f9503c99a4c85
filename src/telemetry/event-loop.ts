/** How long the event loop of this process stands still: nothing is answered meanwhile, and no lock renewed. */

export interface LoopMonitor {
  /** The longest stop since the last call. */
  takeLongestMs(): number;
  /** The longest stop of about the last minute. */
  recentMs(): number;
  stop(): void;
}

/**
 * How late a beat comes is how long the loop stood still, less one beat at most. (The histogram of node:perf_hooks forgets,
 * when it is reset, a stop that it has not recorded yet.)
 */
const BEAT_MS = 100;
const LOOK_EVERY_BEATS = 10;
const KEPT_LOOKS = 60;
/** A stop of that length is said. */
export const LAG_WORTH_SAYING_MS = 1_000;

export function monitorLoop(onStop: (lagMs: number) => void): LoopMonitor {
  const recent: number[] = [];
  let longest = 0;
  let sinceLook = 0;
  let beats = 0;
  let lastBeat = performance.now();
  const look = () => {
    longest = Math.max(longest, sinceLook);
    recent.push(sinceLook);
    if (recent.length > KEPT_LOOKS) recent.shift();
    if (sinceLook > LAG_WORTH_SAYING_MS) onStop(sinceLook);
    sinceLook = 0;
  };
  const beat = () => {
    const now = performance.now();
    sinceLook = Math.max(sinceLook, now - lastBeat - BEAT_MS);
    lastBeat = now;
    beats += 1;
    if (beats % LOOK_EVERY_BEATS === 0 || sinceLook > LAG_WORTH_SAYING_MS) look();
  };
  const timer = setInterval(beat, BEAT_MS);
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
