/**
 * Tells whether a worker is unresponsive: jobs wait in a lane that it serves and has room in, and it takes none. A healthy one
 * takes them within milliseconds, so nothing has to be guessed; but a look may fall between two events, so only what
 * holds at every look for a while counts.
 *
 * - *responsive*: nothing of that kind, or not for long enough;
 * - *unresponsive*: for `unresponsiveMs`; it is told to reconnect, and given as long again;
 * - *unrecoverable*: that has not helped. Only a new process will.
 */
export interface LaneState {
  queue: string;
  /** Its loop runs, or was told to stop. */
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
  look(look: Probe, at: number): Responsiveness;
  /** Nothing can be said: the queue cannot be reached at all, or this process stood still. */
  forget(): void;
} {
  /** Since when a lane takes nothing, with what it had taken by then. */
  const silent = new Map<string, { since: number; taken: number }>();
  let reconnectedAt: number | undefined;
  let lastLook: number | undefined;

  function forget(): void {
    silent.clear();
    reconnectedAt = undefined;
  }

  function idleLanes({ lanes, waiting }: Probe, at: number): string[] {
    return lanes.flatMap(({ queue, isFetching, hasRoom, taken }) => {
      const before = silent.get(queue);
      const ought = !isFetching || (hasRoom && (waiting.get(queue) ?? 0) > 0);
      if (!ought || (before !== undefined && before.taken !== taken)) {
        silent.delete(queue);
        return [];
      }
      if (before === undefined) silent.set(queue, { since: at, taken });
      return before !== undefined && at - before.since >= unresponsiveMs ? [queue] : [];
    });
  }

  return {
    forget,
    look(look, at) {
      if (lastLook !== undefined && at - lastLook > maxGapMs) forget();
      lastLook = at;
      const lanes = idleLanes(look, at);
      if (look.answers && lanes.length === 0) {
        reconnectedAt = undefined;
        return { state: 'responsive' };
      }
      const reason = look.answers
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
