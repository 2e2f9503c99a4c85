/** A worker's sign of life, given only while its event loop moves and its lanes fetch: a timer alone proves nothing. */
import { monitorEventLoopDelay } from 'node:perf_hooks';
import type { BeatStore } from '../engine/engine-health.ts';
import type { Logger } from '../engine/ports.ts';
import { repeatUntil } from '../engine/sweep.ts';
import { VERSION } from '../version.ts';

export const BEAT_EVERY_MS = 5_000;
const RESOLUTION_MS = 20;
/** A stop of that length is said: locks are renewed by the same loop. */
const LAG_WORTH_SAYING_MS = 1_000;

export interface BeatSource {
  id: string;
  lanes: readonly string[];
  activeTasks(): number;
  /** Every lane takes jobs, or has been told not to. */
  isFetching(): boolean;
}

export async function beatUntil(
  signal: AbortSignal,
  store: Pick<BeatStore, 'beat'>,
  source: BeatSource,
  log: Logger,
): Promise<void> {
  const delays = monitorEventLoopDelay({ resolution: RESOLUTION_MS });
  delays.enable();
  try {
    await repeatUntil(
      signal,
      BEAT_EVERY_MS,
      async () => {
        const loopLagMs = Math.max(0, delays.max / 1e6 - RESOLUTION_MS);
        delays.reset();
        if (loopLagMs > LAG_WORTH_SAYING_MS)
          log.warn('event_loop_lag', { worker: source.id, lag_ms: Math.round(loopLagMs) });
        if (!source.isFetching()) return log.error('worker_deaf', { worker: source.id });
        const { id, lanes } = source;
        const uptimeSeconds = process.uptime();
        await store.beat({ id, lanes, version: VERSION, activeTasks: source.activeTasks(), loopLagMs, uptimeSeconds });
      },
      log,
    );
  } finally {
    delays.disable();
  }
}
