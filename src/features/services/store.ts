/** The registry of services that `service_call` finds by name. */
import type pg from 'pg';
import type { Caller } from '../../engine/ports/use-cases.ts';
import type { Json, JsonObject } from '../../schemas/json.ts';
import { columnsOf } from '../../store/core/columns.ts';
import { inTransaction } from '../../store/core/in-transaction.ts';
import type { Prisma } from '../../store/generated/client.ts';
import { createPlatformEvents } from '../events/event-log-store.ts';
import { DEFAULT_SETTINGS, ONLY_INSTANCE, type ServiceSettings } from './domain.ts';
import type { Registration, Service, ServiceInstance, ServiceStore } from './ports.ts';

/** NOTIFY tells workers that what they keep of the registry is not right any more. */
export const SERVICE_CHANNEL = 'service_changed';

export const MAX_SERVICES = 1_000;
const MAX_INSTANCES = 100;

const SHOWN = {
  ...{ name: true, baseUrl: true, openapiUrl: true, endpoints: true, metadata: true, settings: true },
  ...{ origin: true, createdAt: true, updatedAt: true },
};
const READ = `
SELECT ${columnsOf(SHOWN, { table: 's' })}, s.version::float8,
  (SELECT coalesce(json_agg(json_build_object('instanceId', i.instance_id, 'baseUrl', i.base_url, 'weight', i.weight,
     'ttlSeconds', i.ttl_seconds, 'heartbeatAt', i.heartbeat_at, 'expiresAt', i.expires_at,
     'expired', coalesce(i.expires_at <= now(), false), 'health', i.health, 'checkedAt', i.checked_at,
     'latencyMs', i.latency_ms, 'lastError', i.last_error) ORDER BY i.instance_id), '[]')
   FROM service_instance i WHERE i.tenant_id = s.tenant_id AND i.name = s.name) AS instances
FROM service s WHERE s.tenant_id = $1`;

const NOW_MS = `(extract(epoch FROM clock_timestamp()) * 1000)::bigint`;

// What was deleted and comes again is newer than its tombstone.
const REGISTER = `
WITH gone AS (DELETE FROM service_tombstone WHERE tenant_id = $1 AND name = $2 RETURNING version)
INSERT INTO service AS s (tenant_id, name, base_url, openapi_url, endpoints, metadata, settings, version, origin, created_at, updated_at)
SELECT $1, $2, $3, $4, $5::jsonb, $6::jsonb, $7::jsonb,
       greatest((SELECT version FROM gone) + 1, ${NOW_MS}), NULL, now(), now()
WHERE EXISTS (SELECT 1 FROM service WHERE tenant_id = $1 AND name = $2)
   OR (SELECT count(*) FROM service WHERE tenant_id = $1) < $9
ON CONFLICT (tenant_id, name) DO UPDATE SET base_url = EXCLUDED.base_url,
  openapi_url = CASE WHEN $8 THEN EXCLUDED.openapi_url ELSE coalesce(EXCLUDED.openapi_url, s.openapi_url) END,
  endpoints = CASE WHEN $8 THEN EXCLUDED.endpoints ELSE coalesce(EXCLUDED.endpoints, s.endpoints) END,
  metadata = CASE WHEN $8 THEN EXCLUDED.metadata ELSE coalesce(EXCLUDED.metadata, s.metadata) END,
  settings = CASE WHEN $8 THEN EXCLUDED.settings ELSE coalesce(s.settings, '{}') || coalesce(EXCLUDED.settings, '{}') END,
  version = greatest(s.version + 1, EXCLUDED.version), origin = NULL, updated_at = now()
RETURNING settings, pg_notify('${SERVICE_CHANNEL}', '')`;

const OTHERS_GO = `DELETE FROM service_instance WHERE tenant_id = $1 AND name = $2 AND instance_id <> $3`;

// At another address it is another one, of which nothing is known yet.
const REGISTER_INSTANCE = `
INSERT INTO service_instance AS i (tenant_id, name, instance_id, base_url, weight, ttl_seconds, heartbeat_at, expires_at)
SELECT $1, $2, $3, $4, $5, $6::int, now(), now() + make_interval(secs => $6::int)
WHERE EXISTS (SELECT 1 FROM service_instance WHERE tenant_id = $1 AND name = $2 AND instance_id = $3)
   OR (SELECT count(*) FROM service_instance WHERE tenant_id = $1 AND name = $2) < $7
ON CONFLICT (tenant_id, name, instance_id) DO UPDATE SET base_url = EXCLUDED.base_url, weight = EXCLUDED.weight,
  ttl_seconds = EXCLUDED.ttl_seconds, heartbeat_at = EXCLUDED.heartbeat_at, expires_at = EXCLUDED.expires_at,
  health = CASE WHEN i.base_url = EXCLUDED.base_url THEN i.health ELSE 'unknown' END,
  passed = CASE WHEN i.base_url = EXCLUDED.base_url THEN i.passed ELSE 0 END,
  failed = CASE WHEN i.base_url = EXCLUDED.base_url THEN i.failed ELSE 0 END,
  checked_at = CASE WHEN i.base_url = EXCLUDED.base_url THEN i.checked_at END,
  latency_ms = CASE WHEN i.base_url = EXCLUDED.base_url THEN i.latency_ms END,
  last_error = CASE WHEN i.base_url = EXCLUDED.base_url THEN i.last_error END`;

const PLAN_CHECKS = `
UPDATE service_instance SET check_at = CASE WHEN $3 THEN now() END WHERE tenant_id = $1 AND name = $2 AND (check_at IS NULL) = $3`;

const REMOVE = `
WITH gone AS (DELETE FROM service WHERE tenant_id = $1 AND name = $2 RETURNING version)
INSERT INTO service_tombstone AS t (tenant_id, name, version)
SELECT $1, $2, greatest(version + 1, ${NOW_MS}) FROM gone
ON CONFLICT (tenant_id, name) DO UPDATE SET version = greatest(t.version, EXCLUDED.version), origin = NULL, deleted_at = now()
RETURNING pg_notify('${SERVICE_CHANNEL}', '')`;

// A service without instances of its own gets its one. Workers hear of one that is back.
const HEARTBEAT = `
WITH was AS (
  SELECT expires_at <= now() AS over FROM service_instance WHERE tenant_id = $1 AND name = $2 AND instance_id = $3
)
INSERT INTO service_instance AS i (tenant_id, name, instance_id, base_url, heartbeat_at)
SELECT tenant_id, name, $3, base_url, now() FROM service s
WHERE tenant_id = $1 AND name = $2
  AND (EXISTS (SELECT 1 FROM service_instance WHERE tenant_id = $1 AND name = $2 AND instance_id = $3)
    OR ($3 = $4 AND NOT EXISTS (SELECT 1 FROM service_instance WHERE tenant_id = $1 AND name = $2)))
ON CONFLICT (tenant_id, name, instance_id) DO UPDATE SET heartbeat_at = now(), expires_at = now() + make_interval(secs => i.ttl_seconds)
RETURNING expires_at, (SELECT pg_notify('${SERVICE_CHANNEL}', '') FROM was WHERE over)`;

type RawInstance = Omit<ServiceInstance, 'heartbeatAt' | 'expiresAt' | 'checkedAt'> & {
  heartbeatAt: string | null;
  expiresAt: string | null;
  checkedAt: string | null;
};
type Row = Prisma.ServiceGetPayload<{ select: typeof SHOWN }> & { version: number; instances: RawInstance[] };

export function createServiceStore(pool: pg.Pool): ServiceStore {
  return {
    async find(tenantId, name) {
      const text = `${READ} AND s.name = $2`;
      const { rows } = await pool.query<Row>({ name: 'service-find', text, values: [tenantId, name] });
      return rows[0] === undefined ? undefined : toService(rows[0]);
    },
    async list(tenantId) {
      const text = `${READ} ORDER BY s.name`;
      const { rows } = await pool.query<Row>({ name: 'service-list', text, values: [tenantId] });
      return rows.map(toService);
    },
    async register(caller, registration) {
      const done = await inTransaction(pool, async (client) => {
        if (!(await registerIn(client, caller.tenantId, registration))) return false;
        const { name, baseUrl, instanceId = ONLY_INSTANCE } = registration;
        const data = { service: name, base_url: baseUrl, instance_id: instanceId };
        await tell(client, caller, 'service.registered', data);
        return true;
      });
      return done ? 'registered' : 'full';
    },
    async remove(caller, name) {
      return await inTransaction(pool, async (client) => {
        const values = [caller.tenantId, name];
        const { rowCount } = await client.query({ name: 'service-remove', text: REMOVE, values });
        if (rowCount === 0) return false;
        await tell(client, caller, 'service.removed', { service: name, cause: 'deleted' });
        return true;
      });
    },
    async heartbeat(tenantId, name, instanceId) {
      const { rows } = await pool.query<{ expires_at: Date | null }>({
        name: 'service-heartbeat',
        text: HEARTBEAT,
        values: [tenantId, name, instanceId, ONLY_INSTANCE],
      });
      return rows[0] === undefined ? undefined : { expiresAt: rows[0].expires_at };
    },
  };
}

function tell(client: pg.PoolClient, caller: Caller, kind: string, data: JsonObject): Promise<void> {
  const { tenantId, correlationId, traceId } = caller;
  return createPlatformEvents(client)({ tenantId, kind, correlationId, traceId, data });
}

async function registerIn(client: pg.PoolClient, tenantId: string, registration: Registration): Promise<boolean> {
  const { name, baseUrl, instanceId = ONLY_INSTANCE, weight, ttlSeconds } = registration;
  const whole = registration.instanceId === undefined;
  const json = (value: unknown) => (value === undefined ? null : JSON.stringify(value));
  const { endpoints, metadata, settings, openapiUrl = null } = registration;
  const fields = [openapiUrl, json(endpoints), json(metadata), json(settings)];
  const { rows } = await client.query<{ settings: Partial<ServiceSettings> | null }>({
    name: 'service-register',
    text: REGISTER,
    values: [tenantId, name, baseUrl, ...fields, whole, MAX_SERVICES],
  });
  if (rows[0] === undefined) return false;
  if (whole) {
    await client.query({ name: 'service-others-go', text: OTHERS_GO, values: [tenantId, name, instanceId] });
  }
  const { rowCount } = await client.query({
    name: 'service-register-instance',
    text: REGISTER_INSTANCE,
    values: [tenantId, name, instanceId, baseUrl, weight, ttlSeconds, MAX_INSTANCES],
  });
  if (rowCount === 0) return false;
  const checked = (rows[0].settings?.health_check ?? null) !== null;
  await client.query({ name: 'service-plan-checks', text: PLAN_CHECKS, values: [tenantId, name, checked] });
  return true;
}

function toService({ endpoints, metadata, settings, createdAt, instances, ...row }: Row): Service {
  return {
    ...row,
    // As they were registered.
    endpoints: (endpoints as Json[] | null) ?? [],
    metadata: (metadata as JsonObject | null) ?? {},
    settings: { ...DEFAULT_SETTINGS, ...(settings as Partial<ServiceSettings> | null) },
    source: 'registration',
    instances: instances.length > 0 ? instances.map(toInstance) : [onlyInstance(row.baseUrl)],
    registeredAt: createdAt,
  };
}

function toInstance(raw: RawInstance): ServiceInstance {
  const at = (text: string | null) => (text === null ? null : new Date(text));
  return { ...raw, heartbeatAt: at(raw.heartbeatAt), expiresAt: at(raw.expiresAt), checkedAt: at(raw.checkedAt) };
}

function onlyInstance(baseUrl: string): ServiceInstance {
  const never = { heartbeatAt: null, expiresAt: null, expired: false, checkedAt: null, latencyMs: null };
  return {
    instanceId: ONLY_INSTANCE,
    baseUrl,
    weight: 1,
    ttlSeconds: null,
    health: 'unknown',
    lastError: null,
    ...never,
  };
}
