/** How much of the queue each tenant gets while it is scarce, changed while the service runs. */
import { SYSTEM_TENANT } from '../domain/access.ts';
import { OrchestratorError } from '../domain/errors.ts';
import type { TenantWeight } from '../engine/tenant-weight-ports.ts';
import type { Caller } from '../engine/use-cases.ts';
import * as schemas from '../schemas/tenant-weights.ts';
import { isIdentity } from './context.ts';
import type { HttpDeps } from './deps.ts';
import { notFound, operation, type Routes, sendJson } from './operation.ts';

export const getTenantWeight = operation({
  id: 'getTenantWeight',
  permission: 'system:inspect',
  tag: 'Infrastructure',
  method: 'get',
  path: '/tenants/{tenant_id}/weight',
  summary: 'Get the weight of a tenant',
  notFound: 'Tenant not found',
  answers: { 200: { description: 'Its weight, and where that comes from', schema: schemas.tenantWeight } },
  problems: [400, 401, 403, 404],
});

export const putTenantWeight = operation({
  id: 'putTenantWeight',
  permission: 'system:control',
  tag: 'Infrastructure',
  method: 'put',
  path: '/tenants/{tenant_id}/weight',
  summary: 'Set the weight of a tenant',
  description:
    'How much more of the queue it gets than others while the queue is scarce. All processes go by it within seconds; it goes before TENANT_WEIGHTS.',
  body: schemas.tenantWeightRequest,
  notFound: 'Tenant not found',
  answers: { 200: { description: 'What holds now', schema: schemas.tenantWeight } },
  problems: [400, 401, 403, 404, 413, 415],
});

export function tenantWeightRoutes(routes: Routes, { tenantWeights, config }: HttpDeps): void {
  function present(tenantId: string, set: TenantWeight | undefined) {
    const configured = config.tenantWeights?.get(tenantId);
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

/** Of others only the tenant of the system knows, also where nobody has to say who asks. */
function tenantOf(params: Record<string, string>, caller: Caller): string {
  const tenantId = params['tenant_id'];
  if (tenantId !== caller.tenantId && caller.tenantId !== SYSTEM_TENANT) throw notFound('Tenant not found');
  if (isIdentity(tenantId)) return tenantId;
  const message = 'must be 1 to 255 printable ASCII characters';
  throw new OrchestratorError('invalid_request', `tenant_id ${message}`, { errors: [{ path: 'tenant_id', message }] });
}
