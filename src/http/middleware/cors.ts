/** Cross-origin access for front ends. No cookies are used, so none are allowed. */
import type { RequestHandler } from 'express';
import { lets } from './origins.ts';

const METHODS = 'GET, HEAD, POST, PUT, DELETE, OPTIONS';
const HEADERS =
  'Content-Type, Authorization, X-API-Key, X-User-ID, X-Tenant-ID, X-Request-Id, X-Correlation-ID, traceparent, tracestate, ' +
  'Idempotency-Key, If-Match, If-None-Match, Last-Event-ID';
const EXPOSED =
  'Location, ETag, Retry-After, RateLimit, RateLimit-Policy, Allow, X-Request-Id, X-Correlation-ID, traceparent, Idempotency-Replayed';
const MAX_AGE_SECONDS = 600;

export function cors(origins: readonly string[]): RequestHandler {
  const any = origins.includes('*');
  return (request, response, next) => {
    const origin = request.get('origin');
    if (!any) response.vary('Origin');
    if (origin === undefined || !lets(origins, origin)) return next();
    response.setHeader('Access-Control-Allow-Origin', any ? '*' : origin);
    response.setHeader('Access-Control-Expose-Headers', EXPOSED);
    if (request.method !== 'OPTIONS' || request.get('access-control-request-method') === undefined) return next();
    response.setHeader('Access-Control-Allow-Methods', METHODS);
    response.setHeader('Access-Control-Allow-Headers', HEADERS);
    response.setHeader('Access-Control-Max-Age', String(MAX_AGE_SECONDS));
    response.status(204).end();
  };
}
