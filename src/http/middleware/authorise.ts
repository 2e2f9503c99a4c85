/** Checks the permission of the caller, for every endpoint, before anything of the request but its head is read. */
import type { Request, RequestHandler, Response } from 'express';
import { allows, missing, type Needed, type Permission } from '../../domain/access.ts';
import { accessOf, callerOf } from './context.ts';

/** In front of the handler of an operation: lets through, or throws 401 or 403. */
export function permit(needed: Needed): RequestHandler {
  return (_request, response, next) => {
    if (needed !== 'public') requireAccess(response, needed);
    next();
  };
}

/** Bull Board shows and changes the queues of all tenants; it changes nothing by GET. */
export const permitBoard: RequestHandler = (request: Request, response, next) => {
  const reads = request.method === 'GET' || request.method === 'HEAD';
  requireAccess(response, reads ? 'system:inspect' : 'system:control');
  next();
};

export function requireAccess(response: Response, needed: Exclude<Needed, 'public'>): void {
  accessOf(response);
  if (needed !== 'authenticated' && !hasPermission(response, needed)) throw missing(needed);
}

/** For what only some requests of an operation take. */
export function hasPermission(response: Response, permission: Permission): boolean {
  return allows({ tenantId: callerOf(response).tenantId, access: accessOf(response) }, permission);
}
