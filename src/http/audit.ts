/** The audit: who did what, to what, from where, and whether it was allowed. */
import { z } from 'zod';
import { SYSTEM_TENANT } from '../domain/access.ts';
import { OrchestratorError } from '../domain/errors.ts';
import { NOBODYS_CHAIN } from '../engine/audit-ports.ts';
import * as schemas from '../schemas/audit.ts';
import { accessOf } from './context.ts';
import type { HttpDeps } from './deps.ts';
import { operation, type Routes, sendJson } from './operation.ts';
import { readCursorAs, writeCursor } from './paging.ts';

export const listAudit = operation({
  id: 'listAudit',
  permission: 'audit:read',
  tag: 'Infrastructure',
  method: 'get',
  path: '/audit',
  summary: 'Who did what, newest first',
  description:
    'Every change, everything that was denied, and reads of what is sensitive; all other reads with AUDIT_READS. Nothing is ever changed in it: each entry is bound to the one before by its hash, which `npm run audit:verify` checks.',
  query: schemas.auditQuery,
  answers: { 200: { description: 'One page', schema: schemas.auditList } },
  problems: [400, 401, 403],
});

const place = z.strictObject({ s: z.int().min(1) });

export function auditRoutes(routes: Routes, { auditLog }: HttpDeps): void {
  routes.serve(listAudit, async ({ query, caller, response }) => {
    const { chain, limit, cursor, from, to, ...exact } = query;
    const system = caller.tenantId === SYSTEM_TENANT || accessOf(response).means === 'none';
    if (chain === 'installation' && !system) {
      throw new OrchestratorError('forbidden', `The chain of the installation is for the tenant ${SYSTEM_TENANT}`);
    }
    const filter = { ...exact, from: momentOf(from), to: momentOf(to) };
    const before = cursor === undefined ? undefined : readCursorAs(place, cursor).s;
    const tenantId = chain === 'installation' ? NOBODYS_CHAIN : caller.tenantId;
    const { entries, more } = await auditLog.list(tenantId, filter, { limit, before });
    const last = entries.at(-1);
    sendJson(response, 200, {
      items: entries,
      next_cursor: more && last !== undefined ? writeCursor({ s: last.seq }) : null,
    });
  });
}

function momentOf(text: string | undefined): Date | undefined {
  return text === undefined ? undefined : new Date(text);
}
