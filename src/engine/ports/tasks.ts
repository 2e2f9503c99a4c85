/** The store of tasks: look-ups, fencing tokens, outcomes. `src/store/` implements it. */
import type { Lookup, LookupRequest } from './rows.ts';

/** What is recorded of a delivery, whatever became of its task. */
export interface DeliveryRecord {
  runId: string;
  /** Whose it is; what is encrypted of it is of no use to others. */
  tenantId: string;
  epoch: number;
  actionId: string;
  actionType: string;
  attempt: number;
  fence: number;
  /** What it has brought about is not known: it stays so for the task unless it completes. */
  effectUnknown: boolean;
  /** JSON text that is known to be storable. */
  input: string | null;
  commitId: string;
  worker: string;
  /** performance.now() of the start; null where nothing was executed. */
  startedMono: number | null;
  /** The wakes that this delivery knew of when it started. */
  wakesSeen: number;
  /** For metrics, which may point at a trace, and for spans. */
  traceId?: string | null;
  parentSpan?: string | null | undefined;
}

/** The task has ended, and with it its attempt. */
interface FinalOutcome extends DeliveryRecord {
  final: true;
  ended: true;
  /** This commit ends the run; `runOutput` (JSON text) is the run's output should it have completed. */
  endsRun: boolean;
  runOutput: string | null;
  wakeAt: null;
  notBefore?: undefined;
  clockReading?: undefined;
  nextDelivery: null;
}

/** The task goes on in another delivery. */
interface OpenOutcome extends DeliveryRecord {
  final: false;
  endsRun: false;
  runOutput: null;
  output: null;
  tolerated: false;
  cached?: undefined;
  /** Where its times are by the worker's clock: what that said, in milliseconds since 1970, and `performance.now()` then. */
  clockReading?: { clockMs: number; mono: number } | undefined;
  nextDelivery: number;
}

export interface CompletedOutcome extends FinalOutcome {
  status: 'completed';
  /** JSON text that is known to be storable. */
  output: string;
  error: null;
  tolerated: false;
  /** The output is that of an earlier run; nothing was executed. */
  cached?: true | undefined;
}

export interface FailedOutcome extends FinalOutcome {
  status: 'failed';
  output: null;
  /** As `errorText` writes it, here and below. */
  error: string;
  /** Its dependents go on as if it had completed. */
  tolerated: boolean;
  cached?: undefined;
}

/** Called off, or never to be run, because of what became of others. */
export interface CancelledOutcome extends FinalOutcome {
  status: 'cancelled' | 'upstream_failed';
  output: null;
  error: string;
  tolerated: false;
  cached?: undefined;
}

export interface SkippedOutcome extends FinalOutcome {
  status: 'skipped';
  output: null;
  error: null;
  tolerated: false;
  cached?: undefined;
}

/** The attempt has failed, and the next one comes after a while. */
export interface RetryingOutcome extends OpenOutcome {
  status: 'retrying';
  ended: true;
  error: string;
  wakeAt: null;
  notBefore: Date;
}

/** A planned return: the attempt goes on later. */
export interface WaitingOutcome extends OpenOutcome {
  status: 'waiting';
  ended: false;
  error: null;
  /** The time that an adapter has requested. */
  wakeAt: Date | null;
  /** When it is due; undefined: when it is woken. */
  notBefore: Date | undefined;
}

export type Outcome =
  | CompletedOutcome
  | FailedOutcome
  | CancelledOutcome
  | SkippedOutcome
  | RetryingOutcome
  | WaitingOutcome;

export type CommitResult = 'accepted' | 'rejected';

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
  markRunning(task: DeliveryRecord): Promise<void>;
  /** `isCompensated`: its action has a compensation. */
  recordLateEffect(outcome: CompletedOutcome, isCompensated: boolean): Promise<void>;
  /** Counts a wake of each task of a live run that is not final, whether it has started or not. */
  wake(runId: string, tasks: ReadonlyArray<{ actionId: string; actionType: string }>): Promise<void>;
}
