/** What the engine needs from the outside. `store/` and `queue/` implement it; the engine never imports them. */
import type { FlowNode } from '../domain/compile.ts';
import type { Concurrency, Dedupe, Definition } from '../domain/definition.ts';
import type { ErrorCode } from '../domain/errors.ts';
import type { WindowUse } from '../domain/fair-share.ts';
import type { Compensates } from '../domain/saga.ts';
import type { DefinitionRef, JobData } from '../schemas/job.ts';
import type { Json, JsonObject } from '../schemas/json.ts';
import type { ParentTask } from './child-ports.ts';
import type { KnownSecret } from './secret-ports.ts';
import type { SleepStore } from './sleep-ports.ts';
import type { TracedAdd } from './span-export.ts';
import type { OpenLog } from './task-logs.ts';
import type { Reports } from './task-reports.ts';
import type { RunStatus, TaskStatus } from './use-cases.ts';

export type LogLevel = 'debug' | 'info' | 'warn' | 'error';

export interface Logger {
  debug(event: string, fields?: object): void;
  info(event: string, fields?: object): void;
  warn(event: string, fields?: object): void;
  error(event: string, fields?: object): void;
  /** False: such a line is not written, so nothing need be made for it. Left out: all are. */
  isEnabled?(level: LogLevel): boolean;
  /** A pass of background work has ended, with its error or well. Left out: the process keeps no ledger of its faults. */
  passed?(work: string, error: unknown): void;
}

/** Whether a delivery's job is still ours, as far as this worker can tell. */
export interface Trust {
  /** False: of this delivery only a success may be committed. */
  holds(): boolean;
  /** Told once when the adapter should stop. There is one listener, the last one. */
  onLost(listener: (reason: string) => void): void;
}

/** A job in the hands of this worker. */
export interface Delivery {
  jobId: string;
  queue: string;
  data: JobData;
  /** By the clock of whoever added it, and how long it was to wait once it was ready; for metrics alone. */
  added?: { atMs: number; delayMs: number };
  /** BullMQ's counters. They tell a clean first delivery from any other; none of them is a token. */
  attemptsMade: number;
  attemptsStarted: number;
  stalledCounter: number;
  trust: Trust;
}

/** What becomes of the job in BullMQ once everything else is stored. */
export type Disposition =
  | { job: 'complete' }
  | { job: 'fail'; message: string }
  | { job: 'retry'; message: string; delayMs: number }
  /** Moved to delayed; no attempt is counted. `dueAlready` is asked once it is there: true makes it due at once. */
  | { job: 'delay'; untilMs: number; dueAlready?: () => Promise<boolean> }
  /** Not touched: a newer holder is at work, and if the job was ours it stalls and is delivered again. */
  | { job: 'leave' };

export interface FlowQueue {
  /**
   * Each tree is all or nothing. The trees of one run go in order, because the first ones hold the gates of the others;
   * runs go side by side. Throws when the queue cannot be reached. `traced`: for spans, what is added.
   */
  add(runs: ReadonlyArray<readonly FlowNode[]>, traced?: readonly TracedAdd[]): Promise<void>;
  removeGates(jobIds: readonly string[]): Promise<void>;
  /** Removes jobs that have ended in BullMQ and are still kept there, and wrecks in no list; leaves every other one alone. */
  removeEnded(jobs: ReadonlyArray<{ queue: string; jobId: string }>): Promise<void>;
  /** Removes each job with all below it, in one step each, unless one of these is in the hands of a worker: then false. */
  removeTrees(roots: ReadonlyArray<{ queue: string; jobId: string }>): Promise<boolean>;
  /** Makes a delayed job due now; does nothing to any other. */
  promote(jobs: ReadonlyArray<{ queue: string; jobId: string }>): Promise<void>;
  state(queue: string, jobId: string): Promise<JobState>;
  /** True when the queue has lost its content, or may have lost its newest writes, since it was last marked as seen. */
  wasWiped(): Promise<boolean>;
  markSeen(): Promise<void>;
  ping(): Promise<boolean>;
}
export type JobState = 'waiting' | 'active' | 'delayed' | 'waiting-children' | 'completed' | 'failed' | 'missing';

export interface NewRun {
  id: string;
  tenantId: string;
  userId: string;
  of: DefinitionRef;
  parameters: JsonObject;
  priority: number;
  /** Seconds from the database's now. */
  delaySeconds: number | undefined;
  /** Of the whole run, from when it may begin; its deadline. */
  timeoutSeconds?: number | undefined;
  /** Removed so many days after its end; undefined: as the setting says. */
  retentionDays?: number | undefined;
  correlationId: string | undefined;
  traceId: string;
  /** The span that began it, in that trace, as `storedParent` has it. */
  parentSpanId?: string | undefined;
  /** Something may have to be undone, or whoever began it says so. */
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
  /** Waits for a place in its group. */
  waits?: true;
  /** Not stored: there is no place in this group. */
  full?: Concurrency;
  /** Cancelled in the same transaction, to make room. */
  replaced?: ReplacedRun[];
}
export interface ReplacedRun {
  id: string;
  epoch: number;
  of: DefinitionRef;
  /** Nothing of it has begun, and it is not in the queue. */
  unbegun: boolean;
}

export interface TaskRow {
  actionId: string;
  status: TaskStatus;
  final: boolean;
  tolerated: boolean;
  attempt: number;
  endedAttempt: number;
  epoch: number;
  fence: number;
  deliveries: number;
  nextDelivery: number | null;
  /** An attempt was executed, and nobody heard how that ended. Says nothing of what completed. */
  effectUnknown: boolean;
  wakeAt: Date | null;
  /** While it sleeps: when it is due; null: when it is woken. */
  notBefore?: Date | null;
  /** When it ended, in milliseconds since 1970; only where it was looked up. */
  finishedMs?: number | null;
  /** How often it was woken, and what that number was when it last went to sleep. */
  wakes: number;
  wakesSeen: number;
  /** It may have been executed; only where all of a run are read. */
  begun?: boolean;
  /** Only where it was asked for. */
  output: Json;
  /** Of a part: what it is a part of, whether it was given to the queue, and, where it was looked up alone, its item. */
  parentId: string | null;
  released: boolean;
  item?: Json;
}
export interface RunRow {
  id: string;
  tenantId: string;
  userId: string;
  of: DefinitionRef;
  epoch: number;
  gen: number;
  status: RunStatus;
  final: boolean;
  priority: number;
  parameters: JsonObject;
  correlationId: string | null;
  traceId: string | null;
  /** As `storedParent` has it. */
  parentSpan?: string | null;
  createdAt: Date;
  deadlineAt: Date | null;
  /** It may not begin before others of its group have ended. */
  waitsForSlot?: true;
  /** A task of another run waits for its end. */
  awaited?: true;
  /** Its jobs were taken out of the queue while it slept. */
  leftQueue?: true;
}
export interface LookupRequest {
  runId: string;
  actionIds: readonly string[];
  outputsOf: readonly string[];
  /** Of one party are those that may come in crowds together; left out: of no party. */
  party?: string;
}
export interface Lookup {
  run: RunRow | undefined;
  tasks: ReadonlyMap<string, TaskRow>;
}

export interface Outcome {
  runId: string;
  /** Whose it is; what is encrypted of it is of no use to others. */
  tenantId: string;
  epoch: number;
  actionId: string;
  actionType: string;
  attempt: number;
  fence: number;
  status: Exclude<TaskStatus, 'pending' | 'running'>;
  final: boolean;
  /** The attempt is over. False for a planned return. */
  ended: boolean;
  tolerated: boolean;
  /** What it has brought about is not known: it stays so for the task unless it completes. */
  effectUnknown: boolean;
  /** JSON texts that are known to be storable. */
  input: string | null;
  output: string | null;
  error: string | null;
  commitId: string;
  worker: string;
  /** performance.now() of the beginning; null where nothing was executed. */
  startedMono: number | null;
  wakeAt: Date | null;
  /** Of what sleeps: when it is due; left out: when it is woken. */
  notBefore?: Date | undefined;
  /** Where these two were told from the worker's clock: what that said, in milliseconds since 1970, and `performance.now()` then. */
  toldBy?: { clockMs: number; mono: number } | undefined;
  /** The wakes that this delivery knew of when it began. */
  wakesSeen: number;
  nextDelivery: number | null;
  /** The output is that of an earlier run; nothing was executed. */
  cached?: true | undefined;
  /** This commit ends the run; `runOutput` (JSON text) is the run's output should it have completed. */
  endsRun: boolean;
  runOutput: string | null;
  /** For metrics, which may point at a trace, and for spans. */
  traceId?: string | null;
  parentSpan?: string | null | undefined;
}
export type CommitResult = 'accepted' | 'refused';

export interface TaskStore {
  lookup(request: LookupRequest): Promise<Lookup>;
  /** Issues a new token; undefined when the task is final or the run is in another epoch. */
  claim(task: {
    runId: string;
    epoch: number;
    actionId: string;
    actionType: string;
    worker: string;
  }): Promise<{ fence: number; deliveries: number } | undefined>;
  /** The next delivery is a planned one, and counts as none: a fault of the system ended this one. Of the holder alone. */
  announce(task: {
    runId: string;
    epoch: number;
    actionId: string;
    fence: number;
    nextDelivery: number;
  }): Promise<void>;
  commit(outcome: Outcome): Promise<CommitResult>;
  /** Shows a task that has run for a while; the fence is left alone. */
  markRunning(task: Omit<Outcome, 'output' | 'error' | 'runOutput'>): Promise<void>;
  /** `isCompensated`: its action says how it is undone. */
  recordLateEffect(outcome: Outcome, isCompensated: boolean): Promise<void>;
  /** Counts a wake of each task of a live run that is not final, whether it has begun or not. */
  wake(runId: string, tasks: ReadonlyArray<{ actionId: string; actionType: string }>): Promise<void>;
}

export interface WindowLook {
  window: number;
  olderThanMs: number;
  /** At most `tenants` of those that wait are told, in the order of their ids, from the one after this. */
  after: string;
  tenants: number;
}

export interface RunStore {
  accept(run: NewRun): Promise<StoredRun>;
  /** `epoch`: the one whose jobs were added, 1 unless said. */
  markQueued(runId: string, epoch?: number): Promise<void>;
  /** How many runs are in the queue now, counted up to `limit`. */
  countInQueue(limit: number): Promise<number>;
  /** Who has runs in the queue, counted a little beyond `window`, and who has some that have waited for longer than that. */
  windowUse(look: WindowLook): Promise<WindowUse>;
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
  begunAmong(runIds: readonly string[]): Promise<ReadonlySet<string>>;
  outputs(runId: string, actionIds: readonly string[]): Promise<ReadonlyMap<string, Json>>;
  /** Asks the reconciler to look at a run at once. */
  nudge(runId: string): Promise<void>;
}

export interface RetryStore {
  /** Undefined when the run is not final in that epoch and one of `from`. `afterSeconds`: when the dispatcher may take it. */
  reopen(retry: {
    runId: string;
    epoch: number;
    from: readonly RunStatus[];
    actionIds: readonly string[];
    /** Of these, those whose parts are not kept. */
    beginAnew?: readonly string[];
    afterSeconds: number;
    /** The new deadline, from now. */
    timeoutSeconds?: number | undefined;
    by: string;
    reason?: string | undefined;
    /** The action that a rerun begins at; without it: a retry. */
    rerunFrom?: string | undefined;
    /** The attempt that goes on with it; nothing is reopened when the run of that one begins nothing any more. */
    childOf?: ParentTask | undefined;
  }): Promise<RunRow | undefined>;
}

/** The sweep: one at a time across all processes. */
export interface SweepStore extends SleepStore {
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

export interface Definitions {
  /** Cached: versions are immutable. */
  load(of: DefinitionRef): Promise<Definition>;
}

export interface TaskFailure {
  code: ErrorCode | (string & {});
  message: string;
  /** For people, beside the message. */
  details?: Json | undefined;
  /** Whether it may have happened all the same, where the code does not say. */
  effectUnknown?: boolean | undefined;
  /** The adapter knows that it did not happen: it was not merely broken off. */
  definite?: boolean | undefined;
}

/** Runs the adapter of an action. Implemented by the worker; the engine knows no adapter. */
export interface Executor {
  execute(call: ExecutionCall): Promise<ExecutionResult>;
  /** Fields of `config` that are handed over as written. */
  literalFields(actionType: string): readonly string[];
}
export interface ExecutionCall {
  actionType: string;
  input: Json;
  /** What is secret in it. */
  secrets: readonly KnownSecret[];
  signal: AbortSignal;
  idempotencyKey: string;
  attempt: number;
  run: RunRow;
  actionId: string;
  /** Of the action, else of the run: 1 first. */
  priority: number;
  /** Of a compensation: what it undoes. */
  compensates?: Compensates | undefined;
  /** Of the attempt. */
  timeoutMs: number;
  scope: { params: Json; run: Json; outputs: Record<string, Json>; locals?: Record<string, Json> };
  wakeAt: Date | undefined;
  /** Delivered so often without an outcome that it may be what ended its workers: it runs where it can harm nobody. */
  suspect: boolean;
  /** What the adapter says while it runs. */
  reports: Reports;
  /** Where what it logs is kept for the run. */
  logs?: OpenLog | undefined;
  /** While the task waits for its turn its deadline does not run. What is returned begins it anew, in full. */
  holdDeadline(): () => void;
}
export type ExecutionResult =
  | { result: 'output'; output: unknown }
  | { result: 'failure'; failure: TaskFailure & { retryable: boolean; retryAfterMs?: number | undefined } }
  /** The adapter wants to go on later, without holding the worker. */
  | { result: 'sleep'; until: Date }
  /** The adapter waits for something outside, at most until that time. Whoever brings it about wakes the task. */
  | { result: 'park'; until: Date | undefined }
  /** An expression did not get its turn in time: the attempt goes on when there is room. */
  | { result: 'deferred' };

/** Evaluates CEL; rejects with an OrchestratorError. */
export interface Expressions {
  evaluate(expression: string, variables: Record<string, Json>, by: { tenantId: string }): Promise<Json>;
}

/** Tells a worker which of the runs it works on are to stop. */
export interface Control {
  /**
   * Calls `stop` once when the run is being cancelled, and `abandon` when this task of it was settled by hand; returns how
   * to stop listening.
   */
  watch(runId: string, stop: () => void, task?: { actionId: string; abandon(): void }): () => void;
}
