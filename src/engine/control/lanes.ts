/**
 * Paused lanes: workers take nothing more from them, what runs goes on. PostgreSQL says which are paused; BullMQ's own pause
 * of the queue is how, and every worker applies it again each second, as the queue may have forgotten it.
 */
import { OrchestratorError } from '../../domain/errors.ts';
import { errorMessage } from '../../domain/texts/error-message.ts';
import type { LaneDepths } from '../health/engine-health.ts';
import type { Logger } from '../ports/logger.ts';
import type { Caller, Lanes, LaneView } from '../ports/use-cases.ts';

export interface PausedLane {
  lane: string;
  tenantId: string;
  by: string;
  reason: string | null;
  since: Date;
}

export interface LanePauseStore {
  paused(): Promise<PausedLane[]>;
  /** Identifies the last change, which shows that there was one although all is as before. */
  lastChange(): Promise<string | null>;
  /** False: it is paused already. */
  pause(caller: Caller, lane: string, reason: string | undefined): Promise<boolean>;
  /** False: it is not paused. */
  resume(caller: Caller, lane: string, reason: string | undefined): Promise<boolean>;
}

export interface LaneSwitch {
  /** Nobody takes a job from this queue any more, or somebody may again. */
  setPaused(lane: string, paused: boolean): Promise<void>;
}

export interface LanesDeps {
  pauses: LanePauseStore;
  queue: LaneSwitch;
  depths: LaneDepths;
  /** All there are. */
  lanes: readonly string[];
  log: Logger;
}

export function createLanes(deps: LanesDeps): Lanes {
  const requireLane = (lane: string) => {
    if (!deps.lanes.includes(lane)) throw new OrchestratorError('not_found', 'Lane not found');
  };
  const isPaused = async (lane: string) => (await deps.pauses.paused()).some((one) => one.lane === lane);
  async function apply(lane: string, paused: boolean): Promise<void> {
    try {
      await deps.queue.setPaused(lane, paused);
      // Somebody may have changed it back before that had reached the queue.
      const now = await isPaused(lane);
      if (now !== paused) await deps.queue.setPaused(lane, now);
    } catch (error) {
      // The workers do it within a second of their own accord.
      const reason = errorMessage(error);
      deps.log.warn('lane_left_to_workers', { lane, held: paused, error: reason });
    }
  }
  return {
    async list(caller) {
      const [paused, depths] = await Promise.all([deps.pauses.paused(), deps.depths.depths().catch(() => undefined)]);
      return deps.lanes.map((lane): LaneView => {
        const pause = paused.find((one) => one.lane === lane);
        const counts = depths?.find((one) => one.lane === lane);
        return {
          lane,
          paused: pause !== undefined,
          // Users are a tenant's own business.
          by: pause?.tenantId === caller.tenantId ? pause.by : null,
          since: pause?.since.toISOString() ?? null,
          reason: pause?.reason ?? null,
          depth: counts?.depth ?? null,
          active: counts?.active ?? null,
          delayed: counts?.delayed ?? null,
        };
      });
    },
    async pause(caller, lane, reason) {
      requireLane(lane);
      if (!(await deps.pauses.pause(caller, lane, reason)))
        throw new OrchestratorError('conflict', `The lane '${lane}' is paused already`);
      await apply(lane, true);
    },
    async resume(caller, lane, reason) {
      requireLane(lane);
      if (!(await deps.pauses.resume(caller, lane, reason)))
        throw new OrchestratorError('conflict', `The lane '${lane}' is not paused`);
      await apply(lane, false);
    },
  };
}

/**
 * One pass of a worker, to be repeated. A paused lane is paused again each time, as the queue may have forgotten it.
 * One that may be paused and should not be is resumed: all of them at the first pass and after any change, because whoever
 * resumed one may have died before the queue knew, and afterwards what this worker has paused itself.
 */
export function createLanePauseSync(deps: {
  pauses: Pick<LanePauseStore, 'paused' | 'lastChange'>;
  queue: LaneSwitch;
  lanes: readonly string[];
}): () => Promise<void> {
  const mayBePaused = new Set<string>();
  let seen: string | null | undefined;
  return async () => {
    // Before the state: a change in between is found again by the next pass.
    const change = await deps.pauses.lastChange();
    const paused = new Set((await deps.pauses.paused()).map(({ lane }) => lane));
    if (change !== seen) for (const lane of deps.lanes) mayBePaused.add(lane);
    seen = change;
    for (const lane of deps.lanes) {
      if (paused.has(lane)) {
        mayBePaused.add(lane);
        await deps.queue.setPaused(lane, true);
      } else if (mayBePaused.has(lane)) {
        await deps.queue.setPaused(lane, false);
        mayBePaused.delete(lane);
      }
    }
  };
}
