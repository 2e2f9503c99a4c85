/** Export and erasure of the data of a tenant or of one user. */

import { once } from 'node:events';
import { SYSTEM_TENANT } from '../../domain/access.ts';
import { OrchestratorError } from '../../domain/errors.ts';
import type { Caller } from '../../engine/ports/use-cases.ts';
import type { Links } from '../../http/server/links.ts';
import { endpoints, notFound, operation, type Routes, sendJson } from '../../http/server/operation.ts';
import type { Erasure, TenantData } from './ports.ts';
import * as schemas from './schemas.ts';

export const eraseTenantData = operation({
  id: 'eraseTenantData',
  permission: 'data:erase',
  tag: 'Infrastructure',
  method: 'delete',
  path: '/tenants/{tenant_id}/data',
  summary: 'Erase the data of a tenant or of one user',
  description:
    'The data is erased in the background, in small batches; the response has the URL that shows the progress. Live executions prevent the erasure, unless `force` cancels them. For one user, the executions of the user are erased with all their data; in data of others the name is replaced by `erased`. Audit entries are retained according to AUDIT_RETENTION_DAYS.',
  query: schemas.eraseQuery,
  notFound: 'Tenant not found',
  answers: {
    200: { description: 'With `dry_run`: what would be deleted', schema: schemas.erasePreview },
    202: {
      description: 'The erasure was scheduled',
      schema: schemas.erasure,
      headers: { Location: 'URL of the erasure, which shows the progress' },
    },
  },
  problems: ['active_runs'],
});

export const getErasure = operation({
  id: 'getErasure',
  permission: 'data:erase',
  tag: 'Infrastructure',
  method: 'get',
  path: '/tenants/{tenant_id}/erasures/{erasure_id}',
  summary: 'Get the progress of an erasure',
  notFound: 'Erasure not found',
  answers: { 200: { description: 'The erasure', schema: schemas.erasure } },
});

export const exportTenant = operation({
  id: 'exportTenant',
  permission: 'data:erase',
  tag: 'Infrastructure',
  method: 'get',
  path: '/tenants/{tenant_id}/export',
  summary: 'Export the data of a tenant',
  description:
    'The response has one JSON object per line. The first line is the header, and the last one has the number of lines of each kind: without it the export is incomplete. Secrets, lease tokens and hashes of keys are omitted. The data is read while executions are running, so related rows may be from different moments.',
  notFound: 'Tenant not found',
  answers: {
    200: { description: 'One JSON object per line', schema: schemas.exportLine, mediaType: 'application/x-ndjson' },
  },
});

interface Needs {
  tenantData: TenantData;
  clock: { now(): Date };
  links: Links;
}

export const tenantDataRoutes = endpoints([eraseTenantData, getErasure, exportTenant], serve);

function serve(routes: Routes, { tenantData, clock, links }: Needs): void {
  routes.serve(eraseTenantData, async ({ params, query, caller, response }) => {
    const scope = { tenantId: ownTenant(params, caller), subject: query.subject };
    const { rows, active } = await tenantData.preview(scope);
    if (query.dry_run === 'true') {
      const of = { tenant_id: scope.tenantId, subject: scope.subject ?? null };
      return sendJson(response, 200, { dry_run: true, ...of, rows, active_executions: active });
    }
    const force = query.force === 'true';
    if (active > 0 && !force) {
      throw new OrchestratorError('active_runs', `${active} executions have not ended; force=true cancels them`);
    }
    const answer = inWire(await tenantData.request(caller, scope, force), links);
    response.setHeader('Location', answer.links.self);
    sendJson(response, 202, answer);
  });
  routes.serve(getErasure, async ({ params, caller, response }) => {
    const found = await tenantData.find(ownTenant(params, caller), params['erasure_id'] ?? '');
    if (found === undefined) throw notFound('Erasure not found');
    sendJson(response, 200, inWire(found, links));
  });
  routes.serve(exportTenant, async ({ params, caller, response, signal, stream }) => {
    const tenantId = ownTenant(params, caller);
    const counts = new Map<string, number>();
    const write = async (lines: object[]) => {
      const text = lines.map((line) => `${JSON.stringify(line)}\n`).join('');
      if (!response.write(text)) await once(response, 'drain', { signal });
    };
    stream();
    response.status(200);
    response.setHeader('Content-Type', 'application/x-ndjson; charset=utf-8');
    response.setHeader('Cache-Control', 'no-store');
    try {
      await write([{ kind: 'header', format: 1, tenant_id: tenantId, at: clock.now().toISOString() }]);
      for await (const page of tenantData.rows(tenantId)) {
        if (signal.aborted) return;
        for (const { kind } of page) counts.set(kind, (counts.get(kind) ?? 0) + 1);
        await write(page);
      }
    } catch (error) {
      // Whoever reads it has gone.
      if (signal.aborted) return;
      throw error;
    }
    response.end(`${JSON.stringify({ kind: 'end', counts: Object.fromEntries(counts) })}\n`);
  });
}

/** Their own; who runs the installation, any. */
function ownTenant(params: Record<string, string>, { tenantId }: Caller): string {
  const requested = params['tenant_id'] ?? '';
  if (requested !== tenantId && tenantId !== SYSTEM_TENANT) throw notFound('Tenant not found');
  return requested;
}

function inWire(erasure: Erasure, links: Links) {
  const { id, tenantId, subject, force, status, removed, requestedBy, requestedAt, finishedAt } = erasure;
  return {
    erasure_id: id,
    tenant_id: tenantId,
    ...{ subject, force, status, removed },
    requested_by: requestedBy,
    requested_at: requestedAt.toISOString(),
    finished_at: finishedAt?.toISOString() ?? null,
    links: { self: links.at(`/tenants/${encodeURIComponent(tenantId)}/erasures/${encodeURIComponent(id)}`) },
  };
}
