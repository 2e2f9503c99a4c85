/** What the dispatcher and the reconciler need of the store. */
import type { RunRow } from './rows.ts';
import type { SleepStore } from './sleep.ts';

/** The sweep: one at a time across all processes. */
export interface ReconcileStore extends SleepStore {
  /** Runs `work` while holding the lock of all processes; undefined when another holds it. */
  exclusively<T>(work: () => Promise<T>): Promise<T | undefined>;
  /** Gives places in groups that have become free to those that wait for them, in order; how many. */
  giveSlots(): Promise<number>;
  /** Lets delayed runs that are due wait with the others. */
  releaseDue(): Promise<void>;
  /** So many pending runs of each tenant that are due and older than `olderThanMs`; raises their gen in the same statement. */
  takePending(grants: ReadonlyMap<string, number>, olderThanMs: number): Promise<RunRow[]>;
  /** Live runs whose time to be looked at has come; sets the next time in the same statement. */
  takeToCheck(limit: number, againAfterMs: number): Promise<RunRow[]>;
  raiseGen(runId: string, epoch: number): Promise<number | undefined>;
  checkAllNow(): Promise<void>;
  /** Sets when a run is looked at next. */
  checkAgain(runId: string, afterMs: number): Promise<void>;
  cancellingForMs(runId: string): Promise<number>;
  /**
   * Lets runs whose deadline has passed end as `timed_out`: they are cancelling from then on, which is told to the workers
   * in the same statement, and are looked at next. `wasPending`: nothing of it was in the queue.
   */
  takeOverdue(limit: number): Promise<Array<RunRow & { wasPending: boolean }>>;
}
