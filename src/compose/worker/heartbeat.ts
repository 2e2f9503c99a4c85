/** A worker's sign of life, given only while its event loop moves and its lanes fetch: a timer alone proves nothing. */
import type { Fault } from '../../domain/health/system-faults.ts';
import type { HeartbeatStore } from '../../engine/health/engine-health.ts';
import type { Logger } from '../../engine/ports/logger.ts';
import { repeatUntil } from '../../engine/recover/reconcile.ts';
import { VERSION } from '../../version.ts';

export const BEAT_EVERY_MS = 5_000;

export interface BeatSource {
  id: string;
  lanes: readonly string[];
  activeTasks(): number;
  /** The longest stop of the event loop since the last call. */
  takeLongestLagMs(): number;
  isUnresponsive(): boolean;
  /**
   * What fails in this process now. APIs take it for true until the next beat, so a fault that has ended since it was last
   * looked at must not be in it: an API that is ready again would refuse for as long.
   */
  faults(): Promise<readonly Fault[]>;
}

export async function beatUntil(
  signal: AbortSignal,
  store: Pick<HeartbeatStore, 'record'>,
  source: BeatSource,
  log: Logger,
): Promise<void> {
  await repeatUntil({ signal, log }, BEAT_EVERY_MS, 'heartbeat', async () => {
    const loopLagMs = source.takeLongestLagMs();
    if (source.isUnresponsive()) return;
    const faults = await source.faults();
    const { id, lanes } = source;
    const uptimeSeconds = process.uptime();
    const activeTasks = source.activeTasks();
    await store.record({
      id,
      lanes,
      version: VERSION,
      activeTasks,
      loopLagMs,
      uptimeSeconds,
      faults,
    });
  });
}
