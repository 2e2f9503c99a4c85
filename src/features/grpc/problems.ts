/** Errors of calls: a problem document of the HTTP API as a status with details, and those that only a call has. */
import { create } from '@bufbuild/protobuf';
import { Code, ConnectError } from '@connectrpc/connect';
import { z } from 'zod';
import { STATUS, statusOf } from './domain.ts';
import { BadRequestSchema, ErrorInfoSchema, RetryInfoSchema } from './generated/google/rpc/error_details_pb.ts';

/** What is read of a problem document; `detail` is for people. */
const problem = z.object({
  code: z.string(),
  detail: z.string(),
  errors: z.array(z.object({ path: z.string(), message: z.string() })).optional(),
  execution_id: z.string().optional(),
});

const DOMAIN = 'orchestrator';

interface Fault {
  status: number;
  reason: string;
  detail: string;
  fields?: ReadonlyArray<{ path: string; message: string }> | undefined;
  retryAfterSeconds?: number | undefined;
  metadata?: Record<string, string>;
  headers?: Headers;
}

export function errorOf({ status, reason, detail, fields, retryAfterSeconds, ...rest }: Fault): ConnectError {
  const { metadata = {}, headers } = rest;
  const error = new ConnectError(detail, status as Code, headers); // The numbers are the same.
  if (error.code === Code.InvalidArgument) {
    const violations = (fields ?? []).map(({ path, message }) => ({ field: path, description: message }));
    const fieldViolations = violations.length > 0 ? violations : [{ field: '', description: detail }];
    error.details.push({ desc: BadRequestSchema, value: { fieldViolations } });
  }
  if (retryAfterSeconds !== undefined) {
    const retryDelay = { seconds: BigInt(Math.ceil(retryAfterSeconds)), nanos: 0 };
    error.details.push({ desc: RetryInfoSchema, value: create(RetryInfoSchema, { retryDelay }) });
  }
  error.details.push({ desc: ErrorInfoSchema, value: { reason, domain: DOMAIN, metadata } });
  return error;
}

/** Of an answer that is not a success. `headers`: what is sent with the status. */
export function problemError(
  { status, text, retryAfter }: { status: number; text: string; retryAfter: string | undefined },
  headers: Headers,
): ConnectError {
  const parsed = problem.safeParse(jsonOr(text));
  const found = parsed.success ? parsed.data : { code: 'internal', detail: 'An unexpected error occurred' };
  const seconds = Number(retryAfter);
  return errorOf({
    status: statusOf(status, found.code),
    reason: found.code,
    detail: found.detail,
    fields: found.errors,
    retryAfterSeconds: retryAfter !== undefined && Number.isFinite(seconds) ? seconds : undefined,
    metadata: found.execution_id === undefined ? {} : { execution_id: found.execution_id },
    headers,
  });
}

export function invalid(field: string, message: string): ConnectError {
  const detail = field === '' ? message : `${field} ${message}`;
  return errorOf({
    status: STATUS.invalidArgument,
    reason: 'invalid_request',
    detail,
    fields: [{ path: field, message }],
  });
}

export function tooLarge(limitBytes: number): ConnectError {
  const detail = `The message is larger than ${limitBytes} bytes`;
  return errorOf({ status: STATUS.resourceExhausted, reason: 'payload_too_large', detail });
}

/** Another attempt may find it available. */
export function unavailable(detail: string, retryAfterSeconds: number): ConnectError {
  return errorOf({ status: STATUS.unavailable, reason: 'unavailable', detail, retryAfterSeconds });
}

/** The credentials with which a stream was opened have expired or were revoked, as the data of its last event say. */
export function unauthenticated(data: string): ConnectError {
  const { code, detail } = z
    .object({ code: z.string(), message: z.string() })
    .transform(({ code, message }) => ({ code, detail: message }))
    .parse(JSON.parse(data));
  return errorOf({ status: STATUS.unauthenticated, reason: code, detail });
}

function jsonOr(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
