/** Which pages may come: those that CORS lets in, and our own. */
import type { RequestHandler } from 'express';
import { OrchestratorError } from '../../domain/errors.ts';

const SAFE = new Set(['GET', 'HEAD', 'OPTIONS']);

/** `*`: any; `loopback`: pages that this machine serves. */
export function lets(origins: readonly string[], origin: string): boolean {
  if (origins.includes('*') || origins.includes(origin)) return true;
  return origins.includes('loopback') && URL.canParse(origin) && isLoopbackName(new URL(origin).hostname);
}

/**
 * A browser sends some requests of any page without a preflight, such as a POST without a body. CORS only keeps their
 * answers from the page, so what changes something has to be rejected here.
 */
export function rejectForeignPages(origins: readonly string[]): RequestHandler {
  return (request, _response, next) => {
    const origin = request.get('origin');
    if (origin === undefined || SAFE.has(request.method)) return next();
    // A cookie is sent along whether the page can read it or not, so any page would act for whoever opens it.
    const allowed = request.get('cookie') === undefined ? origins : origins.filter((one) => one !== '*');
    if (lets(allowed, origin) || isOwn(origin, request.get('host'))) return next();
    throw new OrchestratorError(
      'forbidden',
      'Pages of this origin may change nothing here; CORS_ORIGINS lists those that may',
    );
  };
}

export function isOwn(origin: string, host: string | undefined): boolean {
  return URL.canParse(origin) && new URL(origin).host === host;
}

/**
 * Without authentication nothing but the loopback interface keeps strangers out, and a page can have its own name resolve
 * to it (DNS rebinding): to the browser we are that page's server then. An address in place of a name is nobody's trick.
 */
export function rejectOtherNames(names: readonly string[]): RequestHandler {
  return (request, _response, next) => {
    if (isOneOf(names, request.get('host'))) return next();
    throw new OrchestratorError('forbidden', 'Nothing is served under this name; PUBLIC_URL says which one it has');
  };
}

export function isOneOf(names: readonly string[], host: string | undefined): boolean {
  if (host === undefined) return true;
  if (!URL.canParse(`http://${host}`)) return false;
  const { hostname } = new URL(`http://${host}`);
  return names.includes(hostname) || isLoopbackName(hostname) || /^\[|^\d{1,3}(\.\d{1,3}){3}$/.test(hostname);
}

function isLoopbackName(hostname: string): boolean {
  return /^(?:(?:.+\.)?localhost\.?|127(?:\.\d{1,3}){3}|\[::1\])$/.test(hostname);
}
