/**
 * The services of a tenant: those that were registered, and those that the configuration names. A configured service is
 * where the configuration says: registering it elsewhere is rejected, and nobody deletes it. What a tenant registers gets
 * the tenant's outbound policy: it is rejected here where that is certain already, and checked again by each call.
 */
import { type FieldFault, OrchestratorError } from '../../domain/errors.ts';
import { serviceKey } from '../../domain/service-rate.ts';
import type { Caller } from '../../engine/ports/use-cases.ts';
import { DEFAULT_SETTINGS, ONLY_INSTANCE } from './domain.ts';
import type { CircuitStore, OpenCircuit, Registration, Service, ServiceInstance, ServiceStore } from './ports.ts';

/** Why a tenant may not have a service there, for the tenant to read; undefined where nothing forbids it. */
export type CheckAddress = (tenantId: string, url: string) => Promise<string | undefined>;

export interface Registry {
  /** How many services there are then. */
  register(caller: Caller, registration: Registration): Promise<number>;
  list(caller: Caller): Promise<Service[]>;
  get(caller: Caller, name: string): Promise<Service>;
  remove(caller: Caller, name: string): Promise<void>;
  /** Circuits of all workers that are not closed. */
  circuits(caller: Caller): Promise<OpenCircuit[]>;
  heartbeat(caller: Caller, name: string, instanceId: string | undefined): Promise<{ expiresAt: Date | null }>;
}

export function createRegistry(deps: {
  services: ServiceStore;
  circuits: Pick<CircuitStore, 'list'>;
  /** By their keys (`serviceKey`). */
  configured: Readonly<Record<string, string>>;
  checkAddress: CheckAddress;
}): Registry {
  const { services } = deps;
  const configured = new Map(Object.entries(deps.configured));

  /** Throws `egress_denied` with every field whose address the tenant may not reach. */
  async function rejectForbidden(tenantId: string, { baseUrl, openapiUrl }: Registration, fixed: string | undefined) {
    const chosen: Array<[path: string, url: string | null | undefined]> = [
      ['base_url', fixed === undefined ? baseUrl : undefined],
      ['openapi_url', isBeside(openapiUrl, fixed) ? undefined : openapiUrl],
    ];
    const errors: FieldFault[] = [];
    for (const [path, url] of chosen) {
      const message = typeof url === 'string' ? await deps.checkAddress(tenantId, url) : undefined;
      if (message !== undefined) errors.push({ path, message });
    }
    if (errors.length === 0) return;
    const detail = 'A service may only be registered where its tenant may send requests';
    throw new OrchestratorError('egress_denied', detail, { errors });
  }

  const list = ({ tenantId }: Caller) => listServices(services, configured, tenantId);

  return {
    async register(caller, registration) {
      const key = serviceKey(registration.name);
      const baseUrl = configured.get(key);
      if (baseUrl !== undefined && baseUrl !== registration.baseUrl) {
        throw new OrchestratorError(
          'conflict',
          `The configuration says where '${key}' is; only its own address can be registered`,
        );
      }
      await rejectForbidden(caller.tenantId, registration, baseUrl);
      // One instance, which does not expire.
      const fixed = { ...registration, name: key, instanceId: undefined, weight: 1, ttlSeconds: null };
      if ((await services.register(caller, baseUrl === undefined ? registration : fixed)) === 'full') {
        throw new OrchestratorError('conflict', 'There are as many services, or instances of it, as there may be');
      }
      return (await list(caller)).length;
    },
    list,
    async get({ tenantId }, name) {
      const found = await findService(services, configured, tenantId, name);
      if (found === undefined) throw new OrchestratorError('not_found', 'Service not found');
      return found;
    },
    async remove(caller, name) {
      if (configured.has(serviceKey(name))) {
        throw new OrchestratorError('conflict', `'${name}' is configured: it goes with its setting`);
      }
      if (!(await services.remove(caller, name))) throw new OrchestratorError('not_found', 'Service not found');
    },
    circuits: ({ tenantId }) => deps.circuits.list(tenantId),
    async heartbeat({ tenantId }, name, instanceId = ONLY_INSTANCE) {
      const key = serviceKey(name);
      const renewed = await services.heartbeat(tenantId, configured.has(key) ? key : name, instanceId);
      if (renewed === undefined) throw new OrchestratorError('not_found', 'Service not found');
      return renewed;
    },
  };
}

/** At the origin of a service that the configuration names. */
function isBeside(url: string | null | undefined, fixed: string | undefined): boolean {
  return typeof url === 'string' && fixed !== undefined && new URL(url).origin === new URL(fixed).origin;
}

/** All of a tenant, by name: those that the configuration names, and those that were registered beside them. */
export async function listServices(
  services: Pick<ServiceStore, 'list'>,
  configured: ReadonlyMap<string, string>,
  tenantId: string,
): Promise<Service[]> {
  const registered = await services.list(tenantId);
  const byKey = new Map(registered.map((service) => [serviceKey(service.name), service]));
  const fixed = [...configured].map(([name, baseUrl]) => asConfigured(name, baseUrl, byKey.get(name)));
  const others = registered.filter(({ name }) => !configured.has(serviceKey(name)));
  return [...fixed, ...others].sort((a, b) => (a.name < b.name ? -1 : 1));
}

/** A service by its name: the configuration says where it is, else it has to be registered. */
export async function findService(
  services: Pick<ServiceStore, 'find'>,
  configured: ReadonlyMap<string, string>,
  tenantId: string,
  name: string,
): Promise<Service | undefined> {
  const key = serviceKey(name);
  const baseUrl = configured.get(key);
  if (baseUrl === undefined) return services.find(tenantId, name);
  return asConfigured(key, baseUrl, await services.find(tenantId, key));
}

/** A service that the configuration names is where the configuration says, whatever else was registered about it. */
export function asConfigured(name: string, baseUrl: string, registered: Service | undefined): Service {
  const first = registered?.instances[0];
  const instance: ServiceInstance = {
    instanceId: ONLY_INSTANCE,
    baseUrl,
    weight: 1,
    ttlSeconds: null,
    heartbeatAt: first?.heartbeatAt ?? null,
    expiresAt: null,
    expired: false,
    health: first?.health ?? 'unknown',
    checkedAt: first?.checkedAt ?? null,
    latencyMs: first?.latencyMs ?? null,
    lastError: first?.lastError ?? null,
  };
  return {
    openapiUrl: registered?.openapiUrl ?? null,
    endpoints: registered?.endpoints ?? [],
    metadata: registered?.metadata ?? {},
    settings: registered?.settings ?? DEFAULT_SETTINGS,
    version: registered?.version ?? 0,
    origin: registered?.origin ?? null,
    registeredAt: registered?.registeredAt ?? null,
    updatedAt: registered?.updatedAt ?? null,
    name,
    baseUrl,
    source: 'configuration',
    instances: [instance],
  };
}
