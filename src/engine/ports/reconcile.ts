/** What the dispatcher and the reconciler need of the store. */
import type { RunRow } from './rows.ts';
import type { SleepStore } from './sleep.ts';

/** For reconcile passes: one at a time across all processes. */
export interface ReconcileStore extends SleepStore {
  /** Runs `work` under the lock of all processes; undefined when another process has it. */
  exclusively<T>(work: () => Promise<T>): Promise<T | undefined>;
  /** Gives slots of concurrency groups that have become free to those that wait for them, in order; how many. */
  giveSlots(): Promise<number>;
  /** Lets delayed runs that are due wait with the others. */
  releaseDue(): Promise<void>;
  /** So many due pending runs of each tenant older than `olderThanMs`; raises their add generation in the same statement. */
  takePending(grants: ReadonlyMap<string, number>, olderThanMs: number): Promise<RunRow[]>;
  /** Live runs that are due for a check; sets the next time in the same statement. */
  takeToCheck(limit: number, againAfterMs: number): Promise<RunRow[]>;
  raiseGen(runId: string, epoch: number): Promise<number | undefined>;
  checkAllNow(): Promise<void>;
  /** Sets when a run is checked next. */
  checkAgain(runId: string, afterMs: number): Promise<void>;
  cancellingForMs(runId: string): Promise<number>;
  /**
   * Lets runs whose deadline has passed end as `timed_out`: they are cancelling from then on, of which the same statement
   * notifies the workers, and are checked next. `wasPending`: nothing of it was in the queue.
   */
  takeOverdue(limit: number): Promise<Array<RunRow & { wasPending: boolean }>>;
}
