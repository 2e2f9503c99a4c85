/**
 * API keys. Where none is configured nothing is required and what is presented is ignored; where one is, every path
 * but liveness, readiness, the links of approvals and what peers sign needs it as `X-API-Key` or as a bearer token.
 */
import { createHash, timingSafeEqual } from 'node:crypto';
import type { RequestHandler } from 'express';
import { type Access, OPEN_ACCESS } from '../domain/access.ts';
import { OrchestratorError } from '../domain/errors.ts';
import type { Caller } from '../engine/use-cases.ts';
import { believedCaller, contextOf, type Headers, type TraceContext } from './context.ts';

const OPEN = new Set(['/health', '/livez', '/healthz', '/ready', '/readyz', '/registry/replicate']);

/** The token of a link is its credential. */
const LINK = /^\/approvals\/[^/]+\/?$/;

export type Identity = { caller: Caller; access: Access } | { refused: string; presented: boolean };

/** Who asks, for every door that speaks HTTP at first. */
export type WhoAsks = (request: Headers, context: TraceContext) => Identity;

export function identify(apiKeys: readonly string[]): WhoAsks {
  const digests = apiKeys.map(digest);
  return (request, context) => {
    if (digests.length === 0) return { caller: believedCaller(request, context), access: OPEN_ACCESS };
    const key = presented(request);
    if (key === undefined) {
      return { refused: 'An API key is required: X-API-Key or Authorization: Bearer', presented: false };
    }
    const known = match(digests, digest(key));
    if (known === undefined) return { refused: 'The API key is not known', presented: true };
    // A shared key speaks for the default tenant; the headers would let its holder choose any.
    const { correlationId, traceId, parentSpanId } = context;
    const caller = { tenantId: 'default', userId: `api-key-${known}`, correlationId, traceId, parentSpanId };
    return { caller, access: { means: 'api_key', roles: ['admin'], scopes: undefined } };
  };
}

export function authenticate(whoAsks: WhoAsks): RequestHandler {
  return (request, response, next) => {
    const context = contextOf(response);
    const found = whoAsks(request, context);
    if ('caller' in found) {
      context.caller = found.caller;
      context.access = found.access;
      return next();
    }
    if (!found.presented && isOpen(request.path)) return next();
    response.setHeader('WWW-Authenticate', 'Bearer realm="orchestrator"');
    throw new OrchestratorError('unauthorized', found.refused);
  };
}

function isOpen(path: string): boolean {
  return OPEN.has(path.replace(/(?<=.)\/$/, '')) || LINK.test(path);
}

function presented(request: Headers): string | undefined {
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
