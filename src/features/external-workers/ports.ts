/** Tasks that workers outside do over HTTP: what the engine needs from the store. */
import type { ExternalAttempt } from '../../engine/ports/external-attempt.ts';
import type { Json } from '../../schemas/json.ts';
import type { OutboxMessage } from '../../store/core/outbox.ts';

/** One attempt of a task, as the row of it is found. */
export interface AttemptKey {
  runId: string;
  actionId: string;
  epoch: number;
  attempt: number;
}

export interface NewExternalAttempt extends AttemptKey {
  tenantId: string;
  topic: string;
  /** JSON text that was checked to be storable. */
  input: string;
  priority: number;
  timeoutMs: number;
  /** It is published: makes its message. Left out: workers lease it over HTTP. */
  message?: ((attempt: { id: string; leaseToken: string }) => Promise<OutboxMessage>) | undefined;
}

export interface LeasedTask {
  taskId: string;
  leaseToken: string;
  runId: string;
  actionId: string;
  attempt: number;
  topic: string;
  input: Json;
  /** Of the attempt. */
  deadline: Date;
  leaseUntil: Date;
}

/** What a worker reports of a task that it works on. */
export interface TaskProgress {
  percent?: number | undefined;
  message?: string | undefined;
}

export interface LeaseRequest {
  tenantId: string;
  topic: string;
  workerId: string;
  max: number;
  leaseSeconds: number;
}

/** What a worker says of a task that it has leased. */
export type ExternalOutcome =
  | { status: 'completed'; output: string }
  | { status: 'failed'; error: { code: string; message: string; retryable: boolean } };

/** A task of which an outcome is stored, and whose wake is counted: its job is to be made due. */
export interface WokenTask {
  runId: string;
  epoch: number;
  actionId: string;
}

export interface AnsweredTask extends WokenTask {
  /** Undefined: it had been answered before. */
  of: LoggedAttempt | undefined;
}

/** Of which attempt what a worker logs is, and since when there is that attempt, by the database's clock. */
export interface LoggedAttempt extends AttemptKey {
  since: Date;
  /** The database's time. */
  now: Date;
}

/** Why a lease is worth nothing. `ended`: the run has ended, is being cancelled, or was started anew. */
export type NoLease = 'unknown' | 'lost' | 'ended';

export interface ExternalTaskFilter {
  topic: string | undefined;
  status: 'available' | 'leased' | undefined;
}

export interface OpenExternalTask {
  taskId: string;
  runId: string;
  actionId: string;
  attempt: number;
  topic: string;
  status: 'available' | 'leased';
  priority: number;
  workerId: string | null;
  deliveries: number;
  leaseUntil: Date | null;
  progress: TaskProgress | null;
  createdAt: Date;
  deadline: Date;
}

export interface TopicDepth {
  topic: string;
  available: number;
  leased: number;
  oldestWaitingSeconds: number | null;
}

/** The workers' side. Every call sees one tenant only. */
export interface ExternalTaskStore {
  /**
   * Makes tasks available again whose lease has run out. Those that were leased too often fail, with their wake counted;
   * they are the ones it resolves to.
   */
  takeBack(tenantId: string, topic: string): Promise<WokenTask[]>;
  /** Tasks by priority and age, each with a new token. `closed`: how many it met that nobody waits for any more. */
  lease(request: LeaseRequest): Promise<{ leased: LeasedTask[]; closed: number }>;
  /** Of a worker that did not get them: they count as not delivered. */
  giveBack(tenantId: string, leases: ReadonlyArray<Pick<LeasedTask, 'taskId' | 'leaseToken'>>): Promise<void>;
  extend(lease: {
    tenantId: string;
    taskId: string;
    leaseToken: string;
    progress: TaskProgress | undefined;
    /** Left out: as long as the lease was requested for. */
    seconds: number | undefined;
  }): Promise<NoLease | { leaseUntil: Date; deadline: Date; of: LoggedAttempt }>;
  /** Stores the outcome and counts the wake in one statement; the same once more is answered in the same way. */
  answer(lease: {
    tenantId: string;
    taskId: string;
    leaseToken: string;
    outcome: ExternalOutcome;
  }): Promise<NoLease | AnsweredTask>;
  list(
    tenantId: string,
    filter: ExternalTaskFilter,
    page: { limit: number; skip: number },
  ): Promise<{ items: OpenExternalTask[]; total: number; topics: TopicDepth[] }>;
}

/** The engine's side. Waits for the database rather than fail a task for it. */
export interface ExternalAttempts {
  /** Makes the attempt available to the workers of its topic, unless it has been before. */
  open(attempt: NewExternalAttempt): Promise<ExternalAttempt>;
}
