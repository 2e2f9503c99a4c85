/** Which status of gRPC an answer of the HTTP API is, as pure rules. */
import { type ErrorCode, isErrorCode } from '../../domain/errors.ts';

/** By the names of gRPC; the numbers are its own. */
export const STATUS = {
  cancelled: 1,
  unknown: 2,
  invalidArgument: 3,
  deadlineExceeded: 4,
  notFound: 5,
  alreadyExists: 6,
  permissionDenied: 7,
  resourceExhausted: 8,
  failedPrecondition: 9,
  internal: 13,
  unavailable: 14,
  unauthenticated: 16,
} as const;

export type Status = (typeof STATUS)[keyof typeof STATUS];

/** A key or an id that was used for something else; every other conflict is with the state that something is in. */
const EXISTS: ReadonlySet<ErrorCode> = new Set(['idempotency_conflict', 'run_id_conflict', 'duplicate_run']);

const BY_HTTP_STATUS: Readonly<Record<number, Status>> = {
  401: STATUS.unauthenticated,
  403: STATUS.permissionDenied,
  404: STATUS.notFound,
  409: STATUS.failedPrecondition,
  410: STATUS.failedPrecondition,
  412: STATUS.failedPrecondition,
  413: STATUS.resourceExhausted,
  429: STATUS.resourceExhausted,
  431: STATUS.resourceExhausted,
  500: STATUS.internal,
  502: STATUS.unavailable,
  503: STATUS.unavailable,
  504: STATUS.deadlineExceeded,
};

/** `code`: of the problem document. */
export function statusOf(httpStatus: number, code: string): Status {
  if (httpStatus === 409 && isErrorCode(code) && EXISTS.has(code)) return STATUS.alreadyExists;
  const known = BY_HTTP_STATUS[httpStatus];
  if (known !== undefined) return known;
  return httpStatus < 500 ? STATUS.invalidArgument : STATUS.internal;
}

const LAST_EVENTS: ReadonlySet<string> = new Set([
  ...['run.completed', 'run.failed', 'run.cancelled', 'run.timed_out'],
  ...['run.compensated', 'run.compensation_failed'],
]);

/** Whether the execution has ended with it, so that no other one is missing after it. */
export function endsStream(event: string): boolean {
  return LAST_EVENTS.has(event);
}
