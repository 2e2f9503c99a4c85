/** The store of runs that sleep. `store/` implements it. */
import type { RunRow } from './rows.ts';

export interface NewSleep {
  run: { id: string; epoch: number };
  until: Date | undefined;
  /** It waits for another run, and still counts in the admission window. */
  forRun: boolean;
  /** When it is checked first, in milliseconds from now. */
  checkAfterMs: number;
}

export interface Leaving {
  run: { id: string; epoch: number; gen: number };
  /** When it is due; undefined: somebody will wake it. */
  until: Date | undefined;
}

export interface SleepStore {
  /** Runs that are under way are `waiting` from now on; does nothing to any other. */
  fallAsleep(sleeps: readonly NewSleep[]): Promise<void>;
  /** A run that is waiting runs again; does nothing to any other. `checkAfterMs`: when the reconciler checks it. */
  rouse(runId: string, checkAfterMs: number): Promise<void>;
  /** Sleeping runs that are still in the queue and due for a check. */
  takeSleepers(limit: number, againAfterMs: number): Promise<RunRow[]>;
  /** Sets when such a run is checked next, and until when it sleeps. */
  recheckAt(runId: string, at: Date, until: Date | undefined): Promise<void>;
  /**
   * Says that nothing of these is in the queue any more; resolves to the ids of those for which it did: another does not sleep
   * any more, or was added again since.
   */
  leaveQueue(leaving: ReadonlyArray<Leaving>): Promise<string[]>;
  /** Runs that have left the queue and are due, round robin by tenant. They run from then on; raises their add generation. */
  takeDue(limit: number, checkAfterMs: number): Promise<RunRow[]>;
}
