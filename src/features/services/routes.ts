/** The registry of services. */

import { endpoints, operation, type Routes, sendJson } from '../../http/server/operation.ts';
import { type HealthCheck, instanceStatus, ONLY_INSTANCE, serviceStatus } from './domain.ts';
import type { OpenCircuit, Registration, Service } from './ports.ts';
import type { Registry } from './registry.ts';
import * as schemas from './schemas.ts';

const tag = 'Registry';
const notFound = 'Service not found';

export const registerService = operation({
  id: 'registerService',
  permission: 'registry:write',
  tag,
  method: 'post',
  path: '/registry/register',
  summary: 'Register a service or one of its instances',
  description:
    'A repeated registration replaces the previous one. With `instance_id`, this instance is added or replaced, and omitted fields of the service do not change. The configuration determines the address of a service that it names: registering the same address adds further properties, and another address is a conflict.',
  body: schemas.registerRequest,
  answers: { 200: { description: 'Registered', schema: schemas.registered } },
  problems: ['conflict', 'egress_denied'],
});

export const heartbeatService = operation({
  id: 'heartbeatService',
  permission: 'registry:heartbeat',
  tag,
  method: 'post',
  path: '/registry/heartbeat',
  summary: 'Send a heartbeat for a service instance',
  description: 'An instance that was removed (an hour after its last heartbeat expired) has to be registered again.',
  body: schemas.heartbeatRequest,
  notFound,
  answers: { 200: { description: 'Renewed', schema: schemas.heartbeat } },
});

export const listServices = operation({
  id: 'listServices',
  permission: 'registry:read',
  tag,
  method: 'get',
  path: '/registry',
  summary: 'List registered services',
  description: 'Returns the services that `service_call` finds by name, with their status.',
  answers: { 200: { description: 'All services, by name', schema: schemas.serviceList } },
});

export const getRegisteredService = operation({
  id: 'getRegisteredService',
  permission: 'registry:read',
  tag,
  method: 'get',
  path: '/registry/{name}',
  summary: 'Get a registered service',
  notFound,
  answers: { 200: { description: 'The service', schema: schemas.service } },
});

export const removeService = operation({
  id: 'removeService',
  permission: 'registry:write',
  tag,
  method: 'delete',
  path: '/registry/{name}',
  summary: 'Remove a service and all its instances',
  description: 'A service that is named in the configuration cannot be removed (409).',
  notFound,
  answers: { 204: { description: 'Removed' } },
  problems: ['conflict'],
});

interface Needs {
  registry: Registry;
  /** Of a service whose health check says nothing else. */
  checkIntervalSeconds: number;
}

export const registryRoutes = endpoints(
  [registerService, heartbeatService, listServices, getRegisteredService, removeService],
  serve,
);

function serve(routes: Routes, { registry, checkIntervalSeconds }: Needs): void {
  routes.serve(registerService, async ({ body, caller, response }) => {
    const registration = toRegistration(body, checkIntervalSeconds);
    sendJson(response, 200, { status: 'registered', count: await registry.register(caller, registration) });
  });

  routes.serve(heartbeatService, async ({ body: { name, instance_id }, caller, response }) => {
    const { expiresAt } = await registry.heartbeat(caller, name, instance_id);
    const expires_at = expiresAt?.toISOString() ?? null;
    sendJson(response, 200, { status: 'ok', name, instance_id: instance_id ?? ONLY_INSTANCE, expires_at });
  });

  routes.serve(listServices, async ({ caller, response }) => {
    const [services, circuits] = await Promise.all([registry.list(caller), registry.circuits(caller)]);
    sendJson(response, 200, { services: services.map((service) => present(service, circuits)) });
  });

  routes.serve(getRegisteredService, async ({ params, caller, response }) => {
    const service = await registry.get(caller, params['name'] ?? '');
    sendJson(response, 200, present(service, await registry.circuits(caller)));
  });

  routes.serve(removeService, async ({ params, caller, response }) => {
    await registry.remove(caller, params['name'] ?? '');
    response.status(204).end();
  });
}

function toRegistration(body: schemas.RegisterRequest, checkIntervalSeconds: number): Registration {
  const { health_check, load_balancing, breaker, bulkhead, timeout_seconds } = body;
  return {
    name: body.name,
    baseUrl: body.base_url,
    instanceId: body.instance_id,
    weight: body.weight,
    ttlSeconds: body.ttl_seconds ?? null,
    openapiUrl: body.openapi_url,
    endpoints: body.endpoints as Registration['endpoints'], // The API's JSON.
    metadata: body.metadata,
    settings: {
      ...(health_check === undefined ? {} : { health_check: healthCheckOf(health_check, checkIntervalSeconds) }),
      ...(load_balancing === undefined ? {} : { load_balancing }),
      ...(breaker === undefined ? {} : { breaker }),
      ...(bulkhead === undefined ? {} : { bulkhead }),
      ...(timeout_seconds === undefined ? {} : { timeout_seconds }),
    },
  };
}

function healthCheckOf(
  requested: NonNullable<schemas.RegisterRequest['health_check']> | null,
  intervalSeconds: number,
): HealthCheck | null {
  return requested && { ...requested, interval_seconds: requested.interval_seconds ?? intervalSeconds };
}

/** Open before half-open before closed. */
function circuitOf(of: readonly OpenCircuit[], name: string, instanceId: string): 'closed' | 'half_open' | 'open' {
  const states = of.filter((one) => one.name === name && one.instanceId === instanceId).map(({ state }) => state);
  return states.find((state) => state === 'open') ?? states[0] ?? 'closed';
}

function present(service: Service, circuits: readonly OpenCircuit[]): schemas.ServiceAnswer {
  const heartbeats = service.instances.flatMap(({ heartbeatAt }) =>
    heartbeatAt === null ? [] : [heartbeatAt.getTime()],
  );
  return {
    name: service.name,
    base_url: shown(service.baseUrl),
    openapi_url: service.openapiUrl,
    endpoints: service.endpoints,
    metadata: service.metadata,
    status: serviceStatus(service.instances),
    last_heartbeat: heartbeats.length === 0 ? null : new Date(Math.max(...heartbeats)).toISOString(),
    source: service.source,
    origin: service.origin,
    version: service.version,
    ...service.settings,
    instances: service.instances.map((instance) => ({
      instance_id: instance.instanceId,
      base_url: shown(instance.baseUrl),
      weight: instance.weight,
      ttl_seconds: instance.ttlSeconds,
      status: instanceStatus(instance),
      circuit: circuitOf(circuits, service.name, instance.instanceId),
      last_heartbeat: instance.heartbeatAt?.toISOString() ?? null,
      expires_at: instance.expiresAt?.toISOString() ?? null,
      last_check_at: instance.checkedAt?.toISOString() ?? null,
      latency_ms: instance.latencyMs,
      last_error: instance.lastError,
    })),
    registered_at: service.registeredAt?.toISOString() ?? null,
    updated_at: service.updatedAt?.toISOString() ?? null,
  };
}

/** A configured address may contain a password. */
function shown(url: string): string {
  const { username, password } = new URL(url);
  if (username === '' && password === '') return url;
  const bare = new URL(url);
  bare.username = '';
  bare.password = '';
  return bare.href.replace(/\/+$/, '');
}
