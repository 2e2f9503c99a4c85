/** A worker's sign of life, given only while its event loop moves and its lanes fetch: a timer alone proves nothing. */
import type { BeatStore } from '../engine/engine-health.ts';
import type { Logger } from '../engine/ports.ts';
import { repeatUntil } from '../engine/sweep.ts';
import { VERSION } from '../version.ts';

export const BEAT_EVERY_MS = 5_000;

export interface BeatSource {
  id: string;
  lanes: readonly string[];
  activeTasks(): number;
  /** The longest stop of the event loop since the last call. */
  takeLongestLagMs(): number;
  /** It hears its queue. */
  isDeaf(): boolean;
}

export async function beatUntil(
  signal: AbortSignal,
  store: Pick<BeatStore, 'beat'>,
  source: BeatSource,
  log: Logger,
): Promise<void> {
  await repeatUntil(
    signal,
    BEAT_EVERY_MS,
    async () => {
      const loopLagMs = source.takeLongestLagMs();
      if (source.isDeaf()) return;
      const { id, lanes } = source;
      const uptimeSeconds = process.uptime();
      await store.beat({ id, lanes, version: VERSION, activeTasks: source.activeTasks(), loopLagMs, uptimeSeconds });
    },
    log,
  );
}
