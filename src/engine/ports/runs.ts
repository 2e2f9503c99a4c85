/** The store of runs. `src/store/` implements it. */
import type { Concurrency, Dedupe } from '../../domain/definition/definition.ts';
import type { WindowUse } from '../../domain/fairness/fair-share.ts';
import type { RunStatus } from '../../domain/runs/run-states.ts';
import type { DefinitionRef } from '../../schemas/job.ts';
import type { Json, JsonObject } from '../../schemas/json.ts';
import type { Lookup, RunRow } from './rows.ts';

export interface NewRun {
  id: string;
  tenantId: string;
  userId: string;
  of: DefinitionRef;
  parameters: JsonObject;
  priority: number;
  /** Seconds from the database's now. */
  delaySeconds: number | undefined;
  /** Of the run, from when it may start; its deadline. */
  timeoutSeconds?: number | undefined;
  /** Removed so many days after its end; undefined: as the setting says. */
  retentionDays?: number | undefined;
  /** What it passes on beside its parameters. */
  executionContext?: JsonObject | undefined;
  correlationId: string | undefined;
  traceId: string;
  /** The span that started it, in that trace, as `storedParent` has it. */
  parentSpanId?: string | undefined;
  /** Something may have to be compensated, or whoever started it says so. */
  saga?: true | undefined;
  callbackUrl: string | undefined;
  idempotencyKey: string | undefined;
  requestHash: string | undefined;
  dedupe?: RunDedupe | undefined;
  /** Its group, by the key as it was resolved. */
  concurrency?: Concurrency | undefined;
}

export interface RunDedupe {
  /** A digest: keys of any length are compared. */
  key: string;
  windowSeconds: number;
  policy: Dedupe['policy'];
}

/** The row as stored: the new one, or the one that has the idempotency or `dedupe` key already. */
export interface StoredRun {
  id: string;
  status: RunStatus;
  createdAt: Date;
  requestHash: string | null;
  of: DefinitionRef;
  inserted: boolean;
  /** Of a row that was there before: found by its `dedupe` key. */
  deduplicated?: true;
  /** Waits for a slot in its concurrency group. */
  waits?: true;
  /** Not stored: there is no slot in this group. */
  full?: Concurrency;
  /** Cancelled in the same transaction, to make room. */
  replaced?: ReplacedRun[];
}

export interface ReplacedRun {
  id: string;
  epoch: number;
  of: DefinitionRef;
  /** Nothing of it has started, and it is not in the queue. */
  notStarted: boolean;
}

/** The task that starts a run, and which of its attempts. */
export interface ParentTask {
  runId: string;
  epoch: number;
  actionId: string;
  attempt: number;
}

export interface WindowQuery {
  window: number;
  olderThanMs: number;
  /** At most `tenants` of those that wait are returned, in the order of their ids, from the one after this. */
  after: string;
  tenants: number;
}

export interface RunStore {
  accept(run: NewRun): Promise<StoredRun>;
  /** `epoch`: the one whose jobs were added, 1 unless said. */
  markQueued(runId: string, epoch?: number): Promise<void>;
  /** Before their jobs are added, so that nobody adds them as well; the reconciler leaves them alone for half a minute. */
  markQueuedAhead(runIds: readonly string[]): Promise<void>;
  /** How many runs are in the queue now, counted up to `limit`. */
  countInQueue(limit: number): Promise<number>;
  /** Who has runs in the queue, counted a little beyond `window`, and who has some that have waited for longer than that. */
  windowUse(query: WindowQuery): Promise<WindowUse>;
  /** Ends a run whose actions are all final (several sinks). False when one is not final yet. */
  finalize(end: {
    runId: string;
    tenantId: string;
    epoch: number;
    actions: number;
    output: string | null;
  }): Promise<boolean>;
  /** Ends a run now: a final row for every action, in one transaction. */
  endAbnormally(
    runId: string,
    epoch: number,
    status: 'cancelled' | 'failed',
    actions: ReadonlyArray<{ actionId: string; actionType: string }>,
  ): Promise<boolean>;
  requestCancel(
    tenantId: string,
    runId: string,
    reason: string | undefined,
    by?: string,
  ): Promise<{ found: false } | { found: true; was: RunStatus; changed: boolean; epoch: number; of: DefinitionRef }>;
  statuses(runId: string): Promise<Lookup>;
  /** The same of several runs at once, those that are gone left out. */
  statusesOf(runIds: readonly string[]): Promise<ReadonlyMap<string, Lookup>>;
  /** Those of which some task has a row. */
  startedAmong(runIds: readonly string[]): Promise<ReadonlySet<string>>;
  outputs(runId: string, actionIds: readonly string[]): Promise<ReadonlyMap<string, Json>>;
  /** Makes the run due for a check by the reconciler. */
  checkNow(runId: string): Promise<void>;
}

export interface RetryStore {
  /** Undefined when the run is not final in that epoch and one of `from`. `afterSeconds`: when the dispatcher may take it. */
  reopen(retry: {
    runId: string;
    epoch: number;
    from: readonly RunStatus[];
    actionIds: readonly string[];
    /** Of these, those whose items or iterations are removed. */
    restart?: readonly string[];
    afterSeconds: number;
    /** The new deadline, from now. */
    timeoutSeconds?: number | undefined;
    by: string;
    reason?: string | undefined;
    /** The action that a rerun starts at; without it: a retry. */
    rerunFrom?: string | undefined;
    /** The attempt that goes on with it; nothing is reopened when the run of that one starts nothing any more. */
    childOf?: ParentTask | undefined;
  }): Promise<RunRow | undefined>;
}
