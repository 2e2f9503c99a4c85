/**
 * While tasks cannot be committed on the database, nothing new is accepted: only what was answered with 202 has to run.
 * Reading goes on, as far as the database allows it, and so does a log-in, which operators need to see what is wrong.
 */
import type { RequestHandler } from 'express';
import type { WritePath } from '../../engine/recover/write-path.ts';
import { databaseNotUsable } from '../server/problem.ts';

const READS: ReadonlySet<string> = new Set(['GET', 'HEAD', 'OPTIONS']);
const LOGIN = '/auth/';

export function rejectUnlessUsable(writePath: Pick<WritePath, 'fault'>): RequestHandler {
  return async (request, _response, next) => {
    if (READS.has(request.method) || request.path.startsWith(LOGIN)) return next();
    const found = writePath.fault();
    // Cached, nearly always: nobody waits for it.
    const fault = found instanceof Promise ? await found : found;
    if (fault !== undefined) throw databaseNotUsable(fault.class);
    next();
  };
}
