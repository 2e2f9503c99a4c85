/** What is kept of a tenant or of one user: all of it to take along, and all of it to be erased. */
import { once } from 'node:events';
import { SYSTEM_TENANT } from '../domain/access.ts';
import { OrchestratorError } from '../domain/errors.ts';
import type { Erasure } from '../engine/erasure-ports.ts';
import type { Caller } from '../engine/use-cases.ts';
import * as schemas from '../schemas/tenant-data.ts';
import type { HttpDeps } from './deps.ts';
import type { Links } from './links.ts';
import { notFound, operation, type Routes, sendJson } from './operation.ts';

export const eraseTenantData = operation({
  id: 'eraseTenantData',
  permission: 'data:erase',
  tag: 'Infrastructure',
  method: 'delete',
  path: '/tenants/{tenant_id}/data',
  summary: 'Erases what is kept of the tenant, or of one user of it',
  description:
    'In the background, in small batches; the answer says where that is told. Executions that have not ended stand in the way, unless `force` cancels them. Of one user the executions go with all that belongs to them; in what is of others the name becomes `erased`. The audit stays as long as AUDIT_RETENTION_DAYS says.',
  query: schemas.eraseQuery,
  notFound: 'Tenant not found',
  answers: {
    200: { description: 'With `dry_run`: what would be removed', schema: schemas.erasePreview },
    202: { description: 'It is going to be', schema: schemas.erasure, headers: { Location: 'Where it is told' } },
  },
  problems: [400, 401, 403, 404, 409],
});

export const getErasure = operation({
  id: 'getErasure',
  permission: 'data:erase',
  tag: 'Infrastructure',
  method: 'get',
  path: '/tenants/{tenant_id}/erasures/{erasure_id}',
  summary: 'How far an erasure is',
  notFound: 'Erasure not found',
  answers: { 200: { description: 'The erasure', schema: schemas.erasure } },
  problems: [401, 403, 404],
});

export const exportTenant = operation({
  id: 'exportTenant',
  permission: 'data:erase',
  tag: 'Infrastructure',
  method: 'get',
  path: '/tenants/{tenant_id}/export',
  summary: 'Everything that is kept of the tenant, a JSON object a line',
  description:
    'The first line is the header, the last one has the number of lines of each kind: without it the export is not whole. Secrets, tokens of leases and hashes of keys are left out. It is read while work goes on, so rows that belong together may be of different moments.',
  notFound: 'Tenant not found',
  answers: { 200: { description: 'The lines', schema: schemas.exportLine, mediaType: 'application/x-ndjson' } },
  problems: [401, 403, 404],
});

export function tenantDataRoutes(routes: Routes, { tenantData, clock }: HttpDeps, links: Links): void {
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
  const asked = params['tenant_id'] ?? '';
  if (asked !== tenantId && tenantId !== SYSTEM_TENANT) throw notFound('Tenant not found');
  return asked;
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
