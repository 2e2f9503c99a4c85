/** Errors as RFC 9457 problem documents. An unforeseen error is logged in full and shown as nothing but `internal`. */
import type { ErrorRequestHandler, Request, Response } from 'express';
import {
  describe,
  type ErrorCode,
  type FieldFault,
  OrchestratorError,
  UnreadablePayload,
} from '../../domain/errors.ts';
import { plainWords } from '../../domain/health/system-faults.ts';
import type { Logger } from '../../engine/ports/logger.ts';
import type { Problem } from '../../schemas/answers.ts';
import { contextOf } from '../middleware/context.ts';

const RETRY_AFTER_SECONDS = 2;

export function sendProblem(request: Request, response: Response, error: OrchestratorError): void {
  if (response.headersSent) return;
  const { status, title } = describe(error.code);
  const context = contextOf(response);
  context.problem = error.code;
  const body: Problem = {
    type: `urn:orchestrator:problem:${error.code}`,
    title,
    status,
    detail: error.message,
    instance: loggedPath(request),
    code: error.code,
    ...(error.errors.length === 0 ? {} : { errors: error.errors }),
    ...(error.executionId === undefined ? {} : { execution_id: error.executionId }),
    ...(error.executionLink === undefined ? {} : { links: { execution: error.executionLink } }),
    trace_id: context.traceId,
    message: error.message,
    error_code: error.code,
  };
  const retryAfter = error.retryAfterSeconds ?? (status === 503 || status === 429 ? RETRY_AFTER_SECONDS : undefined);
  if (retryAfter !== undefined) response.setHeader('Retry-After', String(Math.max(1, Math.ceil(retryAfter))));
  // The rest of a rejected body is not read.
  if (status === 413) response.setHeader('Connection', 'close');
  const bytes = Buffer.from(JSON.stringify(body));
  response.status(status);
  response.setHeader('Content-Type', 'application/problem+json; charset=utf-8');
  response.setHeader('Cache-Control', 'no-store');
  response.setHeader('Content-Length', bytes.length);
  response.end(bytes);
}

/** Without the query, and without the token of a link, which is a credential: neither is for a log. */
export function loggedPath(request: Request): string {
  const path = request.originalUrl.split('?', 1)[0] ?? '/';
  return path.replace(/^\/approvals\/.+/, '/approvals/{token}');
}

/** One rejected item of a bulk request. */
export function itemError(code: ErrorCode, detail: string, errors: FieldFault[], executionId?: string): object {
  return {
    code,
    detail,
    message: detail,
    error_code: code,
    ...(errors.length === 0 ? {} : { errors }),
    ...(executionId === undefined ? {} : { execution_id: executionId }),
  };
}

/** What the errors of the database mean. */
export interface DatabaseFaults {
  /** It cannot be reached at the moment. */
  isUnavailable(error: unknown): boolean;
  /** It rejects what this release says, and will until somebody repairs it: the class. */
  needsRepair(error: unknown): string | undefined;
}

const FOUND_BEFORE: ReadonlySet<ErrorCode> = new Set(['database_not_usable', 'policy_unavailable']);

const REPAIRED_SECONDS = 5;

/** The class and what it means; what the server said is for its operators, who find it in the health and the log. */
export function databaseNotUsable(errorClass: string, cause?: unknown): OrchestratorError {
  const words = `The database cannot be used: ${plainWords(errorClass)} (class ${errorClass}). Nothing was begun`;
  return new OrchestratorError('database_not_usable', words, { retryAfterSeconds: REPAIRED_SECONDS, cause });
}

/** Express knows an error handler by its four parameters. */
export function problemHandler(log: Logger, database: DatabaseFaults): ErrorRequestHandler {
  return (thrown: unknown, request, response, _next) => {
    const error = toOrchestratorError(thrown, database);
    // What became of an execution is in the execution; these are logged when they are found, and not for each request.
    const isReported = error.executionId !== undefined || (FOUND_BEFORE.has(error.code) && error === thrown);
    if (error.status >= 500 && !isReported) {
      const { requestId, traceId, correlationId } = contextOf(response);
      log.error('request failed', {
        method: request.method,
        path: loggedPath(request),
        code: error.code,
        request_id: requestId,
        trace_id: traceId,
        correlation_id: correlationId,
        error: stackOf(thrown),
      });
    }
    if (response.headersSent) response.destroy();
    else sendProblem(request, response, error);
  };
}

function toOrchestratorError(thrown: unknown, { isUnavailable, needsRepair }: DatabaseFaults): OrchestratorError {
  if (thrown instanceof OrchestratorError) return thrown;
  const rejected = needsRepair(thrown);
  if (rejected !== undefined) return databaseNotUsable(rejected, thrown);
  if (isUnavailable(thrown))
    return new OrchestratorError('unavailable', 'The database cannot be reached at the moment', { cause: thrown });
  if (thrown instanceof UnreadablePayload) return new OrchestratorError(thrown.code, thrown.message, { cause: thrown });
  // express throws it for a path that it cannot decode.
  if (thrown instanceof URIError) {
    return new OrchestratorError('invalid_request', 'The path is not valid percent-encoding', { cause: thrown });
  }
  return new OrchestratorError('internal', 'An unexpected error occurred', { cause: thrown });
}

function stackOf(thrown: unknown): string {
  if (!(thrown instanceof Error)) return String(thrown);
  const cause = thrown.cause === undefined ? '' : `\ncaused by ${stackOf(thrown.cause)}`;
  return `${thrown.stack ?? thrown.message}${cause}`;
}
