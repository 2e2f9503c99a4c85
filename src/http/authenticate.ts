/**
 * API keys. Where none is configured nothing is required and what is presented is ignored; where one is, every path
 * but liveness and readiness needs it as `X-API-Key` or as a bearer token.
 */
import { createHash, timingSafeEqual } from 'node:crypto';
import type { Request, RequestHandler } from 'express';
import { OrchestratorError } from '../domain/errors.ts';
import { believedCaller, contextOf } from './context.ts';

const OPEN = new Set(['/health', '/livez', '/healthz', '/ready', '/readyz']);

export function authenticate(apiKeys: readonly string[]): RequestHandler {
  const digests = apiKeys.map(digest);
  return (request, response, next) => {
    const context = contextOf(response);
    if (digests.length === 0) {
      context.caller = believedCaller(request, context);
      return next();
    }
    const key = presented(request);
    const known = key === undefined ? undefined : match(digests, digest(key));
    if (known !== undefined) {
      // A shared key speaks for the default tenant; the headers would let its holder choose any.
      const { correlationId, traceId } = context;
      context.caller = { tenantId: 'default', userId: `api-key-${known}`, correlationId, traceId };
      return next();
    }
    if (key === undefined && OPEN.has(request.path.replace(/(?<=.)\/$/, ''))) return next();
    response.setHeader('WWW-Authenticate', 'Bearer realm="orchestrator"');
    throw new OrchestratorError(
      'unauthorized',
      key === undefined ? 'An API key is required: X-API-Key or Authorization: Bearer' : 'The API key is not known',
    );
  };
}

function presented(request: Request): string | undefined {
  const key = request.get('x-api-key');
  if (key !== undefined && key !== '') return key;
  return /^bearer +(\S+) *$/i.exec(request.get('authorization') ?? '')?.[1];
}

/** Looks at every digest, so that the time taken tells nothing; resolves to the first 8 hex digits of the one that fits. */
function match(digests: readonly Buffer[], given: Buffer): string | undefined {
  let found: string | undefined;
  for (const candidate of digests) {
    if (timingSafeEqual(candidate, given)) found = candidate.toString('hex').slice(0, 8);
  }
  return found;
}

function digest(key: string): Buffer {
  return createHash('sha256').update(key).digest();
}
