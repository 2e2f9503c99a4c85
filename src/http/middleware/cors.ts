/** Cross-origin access for front ends. No cookies are used, so none are allowed. */
import type { RequestHandler } from 'express';
import { lets } from './origins.ts';

const METHODS = 'GET, HEAD, POST, PUT, DELETE, OPTIONS';
/** Those of gRPC-Web and Connect, which are in nobody's way where neither is served. */
const RPC_HEADERS = 'x-grpc-web, x-user-agent, grpc-timeout, connect-protocol-version, connect-timeout-ms';
const RPC_EXPOSED = 'grpc-status, grpc-message, grpc-status-details-bin';
const HEADERS =
  'Content-Type, Authorization, X-API-Key, X-User-ID, X-Tenant-ID, X-Request-Id, X-Correlation-ID, traceparent, tracestate, ' +
  `Idempotency-Key, If-Match, If-None-Match, Last-Event-ID, ${RPC_HEADERS}`;
const EXPOSED =
  'Location, ETag, Retry-After, RateLimit, RateLimit-Policy, Allow, X-Request-Id, X-Correlation-ID, traceparent, Idempotency-Replayed, ' +
  RPC_EXPOSED;
const MAX_AGE_SECONDS = 600;

/** What an answer to a page of this origin carries; empty: the page may not read it. */
export function corsHeaders(origins: readonly string[], origin: string | undefined): Array<[string, string]> {
  if (origin === undefined || !lets(origins, origin)) return [];
  return [
    ['Access-Control-Allow-Origin', origins.includes('*') ? '*' : origin],
    ['Access-Control-Expose-Headers', EXPOSED],
  ];
}

export function cors(origins: readonly string[]): RequestHandler {
  const any = origins.includes('*');
  return (request, response, next) => {
    const origin = request.get('origin');
    if (!any) response.vary('Origin');
    const headers = corsHeaders(origins, origin);
    if (headers.length === 0) return next();
    for (const [name, value] of headers) response.setHeader(name, value);
    if (request.method !== 'OPTIONS' || request.get('access-control-request-method') === undefined) return next();
    response.setHeader('Access-Control-Allow-Methods', METHODS);
    response.setHeader('Access-Control-Allow-Headers', HEADERS);
    response.setHeader('Access-Control-Max-Age', String(MAX_AGE_SECONDS));
    response.status(204).end();
  };
}
