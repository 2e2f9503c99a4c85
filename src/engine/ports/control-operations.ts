/** Operations on all live runs of a workflow: a row that says what was requested, and the progress. */

/** What becomes of each run. */
export type OperationKind = 'pause' | 'resume' | 'cancel';

/** `superseded`: something else was requested for the same workflow before this one was through. */
export type OperationStatus = 'pending' | 'running' | 'completed' | 'superseded';

export interface ControlOperation {
  id: string;
  tenantId: string;
  workflowId: string;
  kind: OperationKind;
  status: OperationStatus;
  reason: string | null;
  requestedBy: string;
  /** Runs that it was about when it was requested. */
  total: number;
  done: number;
  /** They had ended, or were in another state already. */
  skipped: number;
  failed: number;
  /** Why it does not go on at the moment, or why the last run failed. */
  error: string | null;
  requestedAt: Date;
  finishedAt: Date | null;
}

/** With its lease, and from where it goes on. */
export interface LeasedOperation extends ControlOperation {
  lease: string;
  after: string;
  /** Of this page, that came to nothing. */
  tries: number;
}

export interface Page {
  /** The last run that was processed. */
  after: string | undefined;
  done: number;
  skipped: number;
  failed: number;
  error: string | undefined;
  last: boolean;
}

export interface ControlOperationStore {
  find(tenantId: string, id: string): Promise<ControlOperation | undefined>;
  /**
   * One that is due and not leased, those longest untouched first, or the one with this id, due or not: one that was just
   * requested is due in a moment. None of a workflow of which another one is leased.
   */
  take(lease: string, leaseMs: number, id?: string): Promise<LeasedOperation | undefined>;
  /** Runs that it is about, after those that were processed. */
  page(operation: LeasedOperation, limit: number): Promise<string[]>;
  /** Both give the lease back, and do nothing without it. */
  save(operation: LeasedOperation, page: Page): Promise<void>;
  defer(operation: LeasedOperation, error: string, afterMs: number): Promise<void>;
}
