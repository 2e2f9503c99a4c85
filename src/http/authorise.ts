/** May who asks do what is asked? Every door goes through here, before anything of the request but its head is read. */
import type { Request, RequestHandler, Response } from 'express';
import { type Access, allows, type Needed, type Permission } from '../domain/access.ts';
import { OrchestratorError } from '../domain/errors.ts';
import type { Caller } from '../engine/use-cases.ts';
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
  const looks = request.method === 'GET' || request.method === 'HEAD';
  requireAccess(response, looks ? 'system:inspect' : 'system:control');
  next();
};

export function requireAccess(response: Response, needed: Exclude<Needed, 'public'>): void {
  const access = accessOf(response);
  if (needed !== 'authenticated') requirePermission(callerOf(response), access, needed);
}

function requirePermission({ tenantId }: Pick<Caller, 'tenantId'>, access: Access, permission: Permission): void {
  if (allows({ tenantId, access }, permission)) return;
  throw new OrchestratorError(
    'forbidden',
    `This takes the permission '${permission}', which the credentials do not give`,
  );
}
