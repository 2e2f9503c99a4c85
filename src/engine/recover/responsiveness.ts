/**
 * Decides whether a worker is unresponsive: jobs wait in a lane that it serves and has room in, and it takes none. A healthy
 * one takes them within milliseconds, so nothing has to be guessed; but a probe may fall between two events, so only what
 * every probe finds for a while counts.
 *
 * - *responsive*: nothing of that kind, or not for long enough;
 * - *unresponsive*: for `unresponsiveMs`; it is to reconnect, and has as long again;
 * - *unrecoverable*: that has not helped. Only a new process will.
 */
export interface LaneState {
  queue: string;
  /** Its loop runs, or is to stop. */
  isFetching: boolean;
  hasRoom: boolean;
  /** How many jobs it has ever taken. */
  taken: number;
}

export type Responsiveness =
  | { state: 'responsive' }
  | { state: 'unresponsive'; reason: string; act: 'reconnect' | 'wait' }
  | { state: 'unrecoverable'; reason: string };

/** `waiting`: jobs that could be taken at once, by lane. */
export type Probe = { lanes: readonly LaneState[]; waiting: ReadonlyMap<string, number>; answers: boolean };

export function createResponsiveness({ unresponsiveMs, maxGapMs }: { unresponsiveMs: number; maxGapMs: number }): {
  /** `at`: milliseconds of a clock that only goes forward. */
  probe(probe: Probe, at: number): Responsiveness;
  /** Nothing can be said: the queue cannot be reached at all, or this process stood still. */
  forget(): void;
} {
  /** Since when a lane takes nothing, with what it had taken by then. */
  const idle = new Map<string, { since: number; taken: number }>();
  let reconnectedAt: number | undefined;
  let lastProbeAt: number | undefined;

  function forget(): void {
    idle.clear();
    reconnectedAt = undefined;
  }

  function idleLanes({ lanes, waiting }: Probe, at: number): string[] {
    return lanes.flatMap(({ queue, isFetching, hasRoom, taken }) => {
      const before = idle.get(queue);
      const ought = !isFetching || (hasRoom && (waiting.get(queue) ?? 0) > 0);
      if (!ought || (before !== undefined && before.taken !== taken)) {
        idle.delete(queue);
        return [];
      }
      if (before === undefined) idle.set(queue, { since: at, taken });
      return before !== undefined && at - before.since >= unresponsiveMs ? [queue] : [];
    });
  }

  return {
    forget,
    probe(probe, at) {
      if (lastProbeAt !== undefined && at - lastProbeAt > maxGapMs) forget();
      lastProbeAt = at;
      const lanes = idleLanes(probe, at);
      if (probe.answers && lanes.length === 0) {
        reconnectedAt = undefined;
        return { state: 'responsive' };
      }
      const reason = probe.answers
        ? `jobs wait and none is taken in ${lanes.join(', ')}`
        : 'its connection to the queue does not answer, and a new one does';
      if (reconnectedAt === undefined) {
        reconnectedAt = at;
        return { state: 'unresponsive', reason, act: 'reconnect' };
      }
      return at - reconnectedAt >= unresponsiveMs
        ? { state: 'unrecoverable', reason }
        : { state: 'unresponsive', reason, act: 'wait' };
    },
  };
}
