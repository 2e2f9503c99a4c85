/** Dead letters, as they are stored, listed and handled. */
import type { RunStatus } from '../../domain/runs/run-states.ts';
import type { RejectedMessage } from '../../engine/ports/rejected-messages.ts';
import type { Caller } from '../../engine/ports/use-cases.ts';
import type { Json } from '../../schemas/json.ts';

export interface DeadLetter {
  runId: string;
  actionId: string;
  actionType: string;
  workflowId: string | null;
  workflowVersion: number | null;
  error: Json;
  attempts: number;
  epoch: number;
  runStatus: RunStatus;
  retryable: boolean;
  correlationId: string | null;
  traceId: string | null;
  finishedAt: Date;
}

export interface DeadLetterStats {
  failed: number;
  /** Of those. */
  retryable: number;
  /** They are not counted among the failed ones any more. */
  retried: number;
  oldest: Date | null;
  newest: Date | null;
}

export interface DeadLetterFilter {
  tasks?: ReadonlyArray<{ runId: string; actionId: string }> | undefined;
  actionType?: string | undefined;
  workflowId?: string | undefined;
  errorCode?: string | undefined;
  from?: Date | undefined;
  to?: Date | undefined;
  /** Only of runs that were retried fewer times. */
  retriedBelow?: number | undefined;
  /** Of the group of failures that they failed with. */
  fingerprint?: string | undefined;
  /** Messages that could not be taken in, by id; with `tasks`, those and these alone. */
  messages?: readonly string[] | undefined;
}

/** Newest first; `after` is the last one of the page before. */
export interface DeadLetterWindow {
  limit: number;
  after: { failedAt: Date; runId: string; actionId: string } | { failedAt: Date; messageId: string } | undefined;
}

export type TaskWindow = { limit: number; after: { failedAt: Date; runId: string; actionId: string } | undefined };

export interface DeadLetterStore {
  list(
    tenantId: string,
    filter: DeadLetterFilter,
    window: TaskWindow,
    retryable: readonly RunStatus[],
  ): Promise<{ items: DeadLetter[]; total: number; more: boolean }>;
  stats(tenantId: string, retryable: readonly RunStatus[]): Promise<DeadLetterStats>;
  /** The runs with such tasks, those that have waited longest first, with the number of these tasks. */
  runsOf(
    tenantId: string,
    filter: DeadLetterFilter,
    retryable: readonly RunStatus[],
    limit: number,
  ): Promise<Array<{ runId: string; tasks: number }>>;
  count(tenantId: string, filter: DeadLetterFilter): Promise<number>;
  /** At most `limit`; resolves to how many. */
  discard(tenantId: string, filter: DeadLetterFilter, by: string, limit: number): Promise<number>;
}

export interface DeadLetters {
  list(
    caller: Caller,
    filter: DeadLetterFilter,
    window: DeadLetterWindow,
  ): Promise<{ items: Array<DeadLetter | RejectedMessage>; total: number; more: boolean }>;
  stats(caller: Caller): Promise<DeadLetterStats>;
  /** The runs go on in a new epoch; the dispatcher adds them at its pace. */
  retry(
    caller: Caller,
    filter: DeadLetterFilter,
    dryRun: boolean,
    /** Of runs. */
    limit?: number,
  ): Promise<{ retried: number; total: number; runs: number }>;
  discard(caller: Caller, filter: DeadLetterFilter, dryRun: boolean): Promise<{ discarded: number; total: number }>;
}
