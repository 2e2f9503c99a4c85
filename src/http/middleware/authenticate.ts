/**
 * Authenticates requests. Every path but liveness, readiness, the links of approvals and what peers sign needs credentials
 * where any are configured; those that are presented count on every path, so that wrong ones are rejected there too. Where
 * a login is configured, a browser without a session is redirected to it.
 */
import type { Request, RequestHandler, Response } from 'express';
import { OrchestratorError } from '../../domain/errors.ts';
import type { Logger } from '../../engine/ports/logger.ts';
import type { Identify, Identity, Rejection } from '../auth/identify.ts';
import { isProbe, withoutSlash } from '../server/probes.ts';
import { contextOf } from './context.ts';
import { type Guesses, tooManyGuesses } from './limits.ts';

const OPEN = new Set(['/registry/replicate', '/auth/login', '/auth/callback', '/auth/logout']);

/** The token of a link is its credential. */
const LINK = /^\/approvals\/[^/]+\/?$/;

/** `loginFor`: where a browser logs in that wants to see this path; undefined: nobody can. `guesses`: counts wrong credentials. */
export function authenticate(
  identify: Identify,
  log: Logger,
  { loginFor, guesses }: { loginFor?: ((path: string) => string) | undefined; guesses?: Guesses | undefined } = {},
): RequestHandler {
  /** A cookie is none: a browser sends it by itself. */
  async function wrong(request: Request, response: Response, found: Rejection): Promise<Error> {
    const { requestId } = contextOf(response);
    const over = found.presented && found.fromCookie !== true ? await guesses?.count(request) : undefined;
    const rejected = challenge(response, found);
    if (over !== undefined) return tooManyGuesses(over);
    if (found.presented) log.info('credentials_refused', { why: found.why, request_id: requestId });
    return rejected;
  }

  return (request, response, next) => {
    const context = contextOf(response);
    // A signature has identified the caller.
    if (context.caller !== undefined) return next();
    const settle = (found: Identity) => {
      if ('caller' in found) {
        context.caller = found.caller;
        context.access = found.access;
        return next();
      }
      const asNobody = !found.presented || found.fromCookie === true;
      if (asNobody && isOpen(`${request.baseUrl}${request.path}`)) return next();
      if (asNobody && loginFor !== undefined && isPageRequest(request)) {
        response.setHeader('Cache-Control', 'no-store');
        return response.redirect(302, loginFor(request.originalUrl));
      }
      return void wrong(request, response, found).then(next, next);
    };
    const found = identify(request, context);
    if (found instanceof Promise) found.then(settle).catch(next);
    else settle(found);
  };
}

/** RFC 6750: whoever presented nothing gets no error code. */
export function challengeOf(presented: boolean): string {
  return `Bearer realm="orchestrator"${presented ? ', error="invalid_token"' : ''}`;
}

function challenge(response: Response, { detail, presented }: { detail: string; presented: boolean }): Error {
  response.setHeader('WWW-Authenticate', challengeOf(presented));
  return new OrchestratorError('unauthorized', detail);
}

/** A browser navigates to a page: not a program, and not a script of a page. */
function isPageRequest(request: Request): boolean {
  if (request.method !== 'GET' && request.method !== 'HEAD') return false;
  if ((request.get('sec-fetch-mode') ?? 'navigate') !== 'navigate') return false;
  return request.accepts(['json', 'html']) === 'html';
}

function isOpen(path: string): boolean {
  return isProbe(path) || OPEN.has(withoutSlash(path)) || LINK.test(path);
}
