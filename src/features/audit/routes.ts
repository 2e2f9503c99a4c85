/** The audit: who did what, to what, from where, and whether it was allowed. */

import { z } from 'zod';
import { SYSTEM_TENANT } from '../../domain/access.ts';
import { OrchestratorError } from '../../domain/errors.ts';
import type { AuditReader } from '../../engine/ports/audit.ts';
import { NOBODYS_CHAIN } from '../../engine/ports/audit.ts';
import { accessOf } from '../../http/middleware/context.ts';
import { endpoints, operation, type Routes, sendJson } from '../../http/server/operation.ts';
import { readCursorAs, writeCursor } from '../../http/server/paging.ts';
import * as schemas from './schemas.ts';

export const listAudit = operation({
  id: 'listAudit',
  permission: 'audit:read',
  tag: 'Infrastructure',
  method: 'get',
  path: '/audit',
  summary: 'List audit entries',
  description:
    'The newest entries come first. They record every change, every denied request, and reads of sensitive data; with AUDIT_READS also all other reads. Entries never change: each one is linked to the previous entry by its hash, which `npm run audit:verify` checks.',
  query: schemas.auditQuery,
  answers: { 200: { description: 'One page of results', schema: schemas.auditList } },
});

const position = z.strictObject({ s: z.int().min(1) });

interface Needs {
  auditLog: AuditReader;
}

export const auditRoutes = endpoints([listAudit], serve);

function serve(routes: Routes, { auditLog }: Needs): void {
  routes.serve(listAudit, async ({ query, caller, response }) => {
    const { chain, limit, cursor, from, to, ...exact } = query;
    const system = caller.tenantId === SYSTEM_TENANT || accessOf(response).means === 'none';
    if (chain === 'installation' && !system) {
      throw new OrchestratorError('forbidden', `The chain of the installation is for the tenant ${SYSTEM_TENANT}`);
    }
    const filter = { ...exact, from: momentOf(from), to: momentOf(to) };
    const before = cursor === undefined ? undefined : readCursorAs(position, cursor).s;
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
