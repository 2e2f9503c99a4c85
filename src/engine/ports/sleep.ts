/** Runs that sleep, as they are kept. `store/` implements it. */
import type { RunRow } from './rows.ts';

export interface NewSleep {
  run: { id: string; epoch: number };
  until: Date | undefined;
  /** It waits for another run, and keeps its place in the window. */
  forRun: boolean;
  /** When it is looked at first, in milliseconds from now. */
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
  /** A run that is waiting runs again; does nothing to any other. `lookAfterMs`: when the reconciler looks at it. */
  rouse(runId: string, checkAfterMs: number): Promise<void>;
  /** Sleeping runs that are still in the queue and whose time to be looked at has come. */
  takeSleepers(limit: number, againAfterMs: number): Promise<RunRow[]>;
  /** Sets when such a run is looked at next, and until when it sleeps. */
  recheckAt(runId: string, at: Date, until: Date | undefined): Promise<void>;
  /**
   * Says that nothing of these is in the queue any more; resolves to the ids of those for which it did: another does not sleep
   * any more, or was added again since.
   */
  leaveQueue(leaving: ReadonlyArray<Leaving>): Promise<string[]>;
  /** Runs that have left the queue and are due, the tenants in turn. They run from then on; raises their gen. */
  takeDue(limit: number, checkAfterMs: number): Promise<RunRow[]>;
}
