/** The caller and the ids of a request: taken over from the headers where they are sane, made where they are not. */
import { randomBytes, randomUUID } from 'node:crypto';
import type { NextFunction, Request, RequestHandler, Response } from 'express';
import type { Access } from '../../domain/access.ts';
import { type ErrorCode, OrchestratorError } from '../../domain/errors.ts';
import type { Caller } from '../../engine/ports/use-cases.ts';
import type { SpanExport } from '../../engine/tracing/span-export.ts';
import { storedParent, traceparentOf } from '../../engine/tracing/span-ids.ts';

/** What is written into logs, sent back and sent on: nothing in it that means something to a shell, a page or a log. */
const SENT_ID = /^[A-Za-z0-9._:-]{1,128}$/;
const IDENTITY = /^[\x21-\x7e](?:[\x20-\x7e]{0,253}[\x21-\x7e])?$/;
/** W3C Trace Context; versions after the first may append to it. */
const TRACEPARENT =
  /^(?!ff)(?!00.{53}.)[0-9a-f]{2}-(?!0{32})([0-9a-f]{32})-(?!0{16})([0-9a-f]{16})-([0-9a-f]{2})(?:-[A-Za-z0-9._:-]{0,72})?$/;
const SAMPLED = 1;

export interface RequestContext {
  requestId: string;
  correlationId: string | undefined;
  traceparent: string;
  traceId: string;
  /** The parent span of what this request starts, as `storedParent` has it: the request's own, else the caller's. */
  parentSpanId: string | undefined;
  /** That of the request, where spans are exported and this one is. */
  span: RequestSpan | undefined;
  /** Set by the authentication; until then nobody. */
  caller: Caller | undefined;
  /** Set with the caller. */
  access: Access | undefined;
  /** The tenant that a signed request names, whether its signature is valid or not. */
  claimedTenant?: string;
  /** The code of the problem that was answered, if it was one. */
  problem?: ErrorCode;
}

export interface RequestSpan {
  spanId: string;
  parentId: string | null;
}

/** What a caller takes over from the request. */
export type TraceContext = Pick<RequestContext, 'correlationId' | 'traceId' | 'parentSpanId'>;

/** Undefined where it is optional: no spans are exported. */
export type ApiSpans = Pick<SpanExport, 'isSampled' | 'newSpanId'>;

/** All that is read of a request here, so that an upgrade to another protocol can be read alike. */
export interface Headers {
  get(name: string): string | undefined;
}

const contexts = new WeakMap<Response, RequestContext>();

/** Comes first of all: every answer, also of an error, carries the ids. */
export function giveContext(spans?: ApiSpans): RequestHandler {
  return (request: Request, response: Response, next: NextFunction) => {
    const context = readContext(request, spans);
    contexts.set(response, context);
    response.setHeader('X-Request-Id', context.requestId);
    response.setHeader('traceparent', context.traceparent);
    if (context.correlationId !== undefined) response.setHeader('X-Correlation-ID', context.correlationId);
    next();
  };
}

export function contextOf(response: Response): RequestContext {
  const context = contexts.get(response);
  if (context === undefined) throw new Error('the request has no context: giveContext must come first');
  return context;
}

export function callerOf(response: Response): Caller {
  const { caller } = contextOf(response);
  if (caller === undefined) throw new OrchestratorError('unauthorized', 'Credentials are required');
  return caller;
}

export function accessOf(response: Response): Access {
  const { access } = contextOf(response);
  if (access === undefined) throw new OrchestratorError('unauthorized', 'Credentials are required');
  return access;
}

export function readContext(request: Headers, spans?: ApiSpans): RequestContext {
  const requestId = request.get('x-request-id');
  const correlationId = request.get('x-correlation-id');
  const sent = request.get('traceparent');
  const taken = sent === undefined ? null : TRACEPARENT.exec(sent);
  // One call for both ids: each goes to the operating system.
  const random = taken === null ? randomBytes(24).toString('hex') : '';
  const traceId = taken?.[1] ?? random.slice(0, 32);
  const parentId = taken?.[2];
  const parentSpan = parentId === undefined ? undefined : storedParent(parentId, isSampled(taken?.[3]));
  const sampled = spans?.isSampled(traceId, parentSpan) ?? true;
  const spanId = spans === undefined ? undefined : taken === null ? random.slice(32) : spans.newSpanId();
  const ownId = requestId !== undefined && SENT_ID.test(requestId) ? requestId : randomUUID();
  return {
    requestId: ownId,
    // Who sends one that is not taken is to find its work by something all the same.
    correlationId: correlationId === undefined || SENT_ID.test(correlationId) ? correlationId : ownId,
    traceparent: taken !== null && sent !== undefined ? sent : traceparentOf(traceId, random.slice(32), sampled),
    traceId,
    parentSpanId: spanId === undefined ? parentSpan : storedParent(spanId, sampled),
    span: spanId === undefined || !sampled ? undefined : { spanId, parentId: parentId ?? null },
    caller: undefined,
    access: undefined,
  };
}

function isSampled(flags: string | undefined): boolean {
  return (Number.parseInt(flags ?? '01', 16) & SAMPLED) !== 0;
}

/** Who the headers name, where they are believed: nothing is required, or the caller may speak for others. */
export function believedCaller(
  request: Headers,
  context: TraceContext,
  otherwise: { userId: string; tenantId: string } = { userId: 'anonymous', tenantId: 'default' },
): Caller {
  const userId = identity(request, 'X-User-ID') ?? otherwise.userId;
  const tenantId = identity(request, 'X-Tenant-ID') ?? otherwise.tenantId;
  return namedCaller({ userId, tenantId }, context);
}

export function namedCaller(
  { userId, tenantId }: { userId: string; tenantId: string },
  { correlationId, traceId, parentSpanId }: TraceContext,
): Caller {
  return { userId, tenantId, correlationId, traceId, parentSpanId };
}

/** What may be the name of a user or of a tenant. */
export function isIdentity(value: unknown): value is string {
  return typeof value === 'string' && IDENTITY.test(value);
}

function identity(request: Headers, header: string): string | undefined {
  const value = request.get(header);
  if (value === undefined || value === '') return undefined;
  if (isIdentity(value)) return value;
  const message = 'must be 1 to 255 printable ASCII characters';
  throw new OrchestratorError('invalid_request', `${header} ${message}`, { errors: [{ path: header, message }] });
}

/** The trace that a `traceparent` names, and its span, as it is stored; undefined: it names none. */
export function readTraceparent(sent: string | undefined): { traceId: string; parentSpanId: string } | undefined {
  const [, traceId, spanId, flags] = (sent === undefined ? null : TRACEPARENT.exec(sent)) ?? [];
  if (traceId === undefined || spanId === undefined) return undefined;
  return { traceId, parentSpanId: storedParent(spanId, isSampled(flags)) };
}
