/** How the engine has an adapter executed. The worker implements it; the engine knows no adapter. */

import type { ErrorCode } from '../../domain/errors.ts';
import type { Compensates } from '../../domain/runs/saga.ts';
import type { Json } from '../../schemas/json.ts';
import type { OpenLog } from '../deliver/task-logs.ts';
import type { Reports } from '../deliver/task-reports.ts';
import type { RunRow } from './rows.ts';
import type { TaskSecret } from './secrets.ts';

export interface TaskFailure {
  code: ErrorCode | (string & {});
  message: string;
  /** For human readers, beside the message. */
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
  secrets: readonly TaskSecret[];
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
  /** Where what it logs is stored for the run. */
  logs?: OpenLog | undefined;
  /** While the task waits for a free slot its deadline does not run. What is returned starts it again, in full. */
  pauseDeadline(): () => void;
}

export type ExecutionResult =
  | { result: 'output'; output: unknown }
  | { result: 'failure'; failure: TaskFailure & { retryable: boolean; retryAfterMs?: number | undefined } }
  /** The adapter wants to go on later, without occupying the worker. */
  | { result: 'sleep'; until: Date }
  /** The adapter waits for something outside, at most until that time. Whoever brings it about wakes the task. */
  | { result: 'park'; until: Date | undefined }
  /** An expression was not evaluated in time: the attempt goes on when there is room. */
  | { result: 'deferred' };

/** Evaluates CEL; rejects with an OrchestratorError. */
export interface Expressions {
  evaluate(expression: string, variables: Record<string, Json>, by: { tenantId: string }): Promise<Json>;
}

/** Notifies a worker which of the runs it works on are to stop. */
export interface Control {
  /**
   * Calls `stop` once when the run is being cancelled, and `abandon` when this task of it was settled manually; returns how
   * to stop listening.
   */
  watch(runId: string, stop: () => void, task?: { actionId: string; abandon(): void }): () => void;
}
