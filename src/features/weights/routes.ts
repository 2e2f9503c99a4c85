/** How much of the queue each tenant gets while it is scarce, changed while the service runs. */

import type { Config } from '../../config/config.ts';
import { SYSTEM_TENANT } from '../../domain/access.ts';
import { OrchestratorError } from '../../domain/errors.ts';
import type { TenantWeight, TenantWeightStore } from '../../engine/ports/tenant-weights.ts';
import type { Caller } from '../../engine/ports/use-cases.ts';
import { isIdentity } from '../../http/middleware/context.ts';
import { endpoints, notFound, operation, type Routes, sendJson } from '../../http/server/operation.ts';
import * as schemas from './schemas.ts';

export const getTenantWeight = operation({
  id: 'getTenantWeight',
  permission: 'system:inspect',
  tag: 'Infrastructure',
  method: 'get',
  path: '/tenants/{tenant_id}/weight',
  summary: 'Get the fair-share weight of a tenant',
  notFound: 'Tenant not found',
  answers: { 200: { description: 'The weight and its source', schema: schemas.tenantWeight } },
});

export const putTenantWeight = operation({
  id: 'putTenantWeight',
  permission: 'system:control',
  tag: 'Infrastructure',
  method: 'put',
  path: '/tenants/{tenant_id}/weight',
  summary: 'Set the fair-share weight of a tenant',
  description:
    'The weight determines the share of the queue that the tenant gets compared to others while the capacity is scarce. All processes apply it within seconds; it takes precedence over TENANT_WEIGHTS.',
  body: schemas.tenantWeightRequest,
  notFound: 'Tenant not found',
  answers: { 200: { description: 'The effective weight', schema: schemas.tenantWeight } },
});

interface Needs {
  tenantWeights: Pick<TenantWeightStore, 'find' | 'set' | 'remove'>;
  config: Pick<Config, 'tenantWeights'>;
}

export const tenantWeightRoutes = endpoints([getTenantWeight, putTenantWeight], serve);

function serve(routes: Routes, { tenantWeights, config }: Needs): void {
  function present(tenantId: string, set: TenantWeight | undefined) {
    const configured = config.tenantWeights.get(tenantId);
    return {
      tenant_id: tenantId,
      weight: set?.weight ?? configured ?? 1,
      source:
        set !== undefined
          ? ('set' as const)
          : configured !== undefined
            ? ('configured' as const)
            : ('default' as const),
      set_by: set?.setBy ?? null,
      updated_at: set?.updatedAt.toISOString() ?? null,
    };
  }

  routes.serve(getTenantWeight, async ({ params, caller, response }) => {
    const tenantId = tenantOf(params, caller);
    sendJson(response, 200, present(tenantId, await tenantWeights.find(tenantId)));
  });

  routes.serve(putTenantWeight, async ({ params, body, caller, response }) => {
    const tenantId = tenantOf(params, caller);
    if (caller.tenantId !== SYSTEM_TENANT) {
      throw new OrchestratorError('forbidden', `Weights are set by the tenant ${SYSTEM_TENANT}`);
    }
    const set = body.weight === null ? undefined : await tenantWeights.set(tenantId, body.weight, caller.userId);
    if (set === undefined) await tenantWeights.remove(tenantId);
    sendJson(response, 200, present(tenantId, set));
  });
}

/** Only the tenant of the system sees other tenants, also where no credentials are required. */
function tenantOf(params: Record<string, string>, caller: Caller): string {
  const tenantId = params['tenant_id'];
  if (tenantId !== caller.tenantId && caller.tenantId !== SYSTEM_TENANT) throw notFound('Tenant not found');
  if (isIdentity(tenantId)) return tenantId;
  const message = 'must be 1 to 255 printable ASCII characters';
  throw new OrchestratorError('invalid_request', `tenant_id ${message}`, { errors: [{ path: 'tenant_id', message }] });
}
