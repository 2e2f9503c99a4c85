/** The errors of the client: what the service answered, that it did not answer, and how an execution ended. */
import type { Execution, FieldFault, Problem } from './generated/types.ts';

/** The service rejected a request. Every `code` has a class of its own below this one. */
export class ApiError extends Error {
  readonly status: number;
  /** As in docs/errors.md: `not_found`, `rate_limited`, … */
  readonly code: string;
  /** The problem document (RFC 9457), where the answer was one. */
  readonly problem: Partial<Problem>;
  /** From the header `Retry-After`. */
  readonly retryAfterMs: number | undefined;

  constructor(status: number, problem: Partial<Problem>, retryAfterMs?: number) {
    super(problem.detail ?? `The service answered ${status}`);
    this.name = new.target.name;
    this.status = status;
    this.code = problem.code ?? 'unknown';
    this.problem = problem;
    this.retryAfterMs = retryAfterMs;
  }

  /** What is wrong with which field. */
  get errors(): readonly FieldFault[] {
    return this.problem.errors ?? [];
  }

  /** The execution that stands in the way, or that was started for the request. */
  get executionId(): string | undefined {
    return this.problem.execution_id;
  }
}

/** No answer came: the service could not be reached, or the connection ended, or the time was over. */
export class ConnectionError extends Error {
  override readonly name: string = 'ConnectionError';
}

/** An execution ended, and did not complete. */
export class ExecutionFailedError extends Error {
  override readonly name: string = 'ExecutionFailedError';
  readonly execution: Execution;
  readonly executionId: string;
  /** `failed`, `cancelled`, `timed_out`, `compensated` or `compensation_failed`. */
  readonly status: string;

  constructor(execution: Execution) {
    const { message } = (execution.error ?? {}) as { code?: string; message?: string }; // As every execution has it.
    super(`Execution ${execution.execution_id} is ${execution.status}${message === undefined ? '' : `: ${message}`}`);
    this.execution = execution;
    this.executionId = execution.execution_id;
    this.status = execution.status;
  }
}
