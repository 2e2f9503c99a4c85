/** Services that peers tell of. What is newer replaces what is known, a deletion like any other state. */
import type pg from 'pg';
import { inTransaction } from '../../store/core/in-transaction.ts';
import { MAX_SERVICES, SERVICE_CHANNEL } from '../services/store.ts';
import type { ReplicaOutcome, ReplicaStore } from './ports.ts';
import type { ReplicatedChange } from './schemas.ts';

const KNOWN = `
SELECT version::float8 AS version, origin FROM service WHERE tenant_id = $1 AND name = $2
UNION ALL SELECT version::float8, origin FROM service_tombstone WHERE tenant_id = $1 AND name = $2
ORDER BY version DESC LIMIT 1`;

const DELETE = `
WITH gone AS (DELETE FROM service WHERE tenant_id = $1 AND name = $2 AND version <= $3::bigint)
INSERT INTO service_tombstone AS t (tenant_id, name, version, origin) VALUES ($1, $2, $3, $4)
ON CONFLICT (tenant_id, name) DO UPDATE SET version = EXCLUDED.version, origin = EXCLUDED.origin, deleted_at = now()
WHERE t.version <= EXCLUDED.version`;

// Who registers it here at this moment has the later version.
const PUT = `
INSERT INTO service AS s (tenant_id, name, base_url, openapi_url, endpoints, metadata, settings, version, origin)
SELECT $1, $2, $3, $4, $5::jsonb, $6::jsonb, $7::jsonb, $8, $9
WHERE EXISTS (SELECT 1 FROM service WHERE tenant_id = $1 AND name = $2)
   OR (SELECT count(*) FROM service WHERE tenant_id = $1) < $10
ON CONFLICT (tenant_id, name) DO UPDATE SET base_url = EXCLUDED.base_url, openapi_url = EXCLUDED.openapi_url,
  endpoints = EXCLUDED.endpoints, metadata = EXCLUDED.metadata, settings = EXCLUDED.settings, version = EXCLUDED.version,
  origin = EXCLUDED.origin, updated_at = now()
WHERE s.version <= EXCLUDED.version`;

const OTHERS_GO = `DELETE FROM service_instance WHERE tenant_id = $1 AND name = $2 AND instance_id <> ALL ($3)`;

// What is known of an instance stays while it is where it was.
const PUT_INSTANCES = `
INSERT INTO service_instance AS i (tenant_id, name, instance_id, base_url, weight, check_at)
SELECT $1, $2, n.instance_id, n.base_url, n.weight, CASE WHEN $6 THEN now() END
FROM unnest($3::text[], $4::text[], $5::int[]) AS n(instance_id, base_url, weight)
ON CONFLICT (tenant_id, name, instance_id) DO UPDATE SET base_url = EXCLUDED.base_url, weight = EXCLUDED.weight,
  ttl_seconds = NULL, expires_at = NULL, check_at = EXCLUDED.check_at,
  health = CASE WHEN i.base_url = EXCLUDED.base_url THEN i.health ELSE 'unknown' END,
  passed = CASE WHEN i.base_url = EXCLUDED.base_url THEN i.passed ELSE 0 END,
  failed = CASE WHEN i.base_url = EXCLUDED.base_url THEN i.failed ELSE 0 END`;

export function createReplicaStore(pool: pg.Pool): ReplicaStore {
  return {
    async now() {
      const { rows } = await pool.query<{ now: Date }>('SELECT now() AS now');
      return rows[0]?.now ?? new Date(Number.NaN);
    },
    async apply(change, origin, self, supersedes) {
      const applied = await inTransaction(pool, async (client): Promise<ReplicaOutcome | false> => {
        const key = [change.tenant_id, change.name];
        // Of one service one peer at a time.
        await client.query('SELECT pg_advisory_xact_lock(hashtextextended($1, 0))', [
          JSON.stringify(['replica', ...key]),
        ]);
        const { rows } = await client.query<{ version: number; origin: string | null }>({
          name: 'replica-known',
          text: KNOWN,
          values: key,
        });
        const known = rows[0] === undefined ? undefined : { ...rows[0], origin: rows[0].origin ?? self };
        if (!supersedes({ version: change.version, origin }, known)) return 'stale';
        // Heard when this is committed.
        await client.query('SELECT pg_notify($1, $2)', [SERVICE_CHANNEL, '']);
        if (change.service === null) {
          await client.query({ name: 'replica-delete', text: DELETE, values: [...key, change.version, origin] });
          return 'applied';
        }
        return (await put(client, change, change.service, origin)) ? 'applied' : false;
      });
      return applied === false ? 'full' : applied;
    },
  };
}

async function put(
  client: pg.PoolClient,
  { tenant_id: tenantId, name, version }: ReplicatedChange,
  service: NonNullable<ReplicatedChange['service']>,
  origin: string,
): Promise<boolean> {
  const { base_url, openapi_url, endpoints, metadata, settings, instances } = service;
  const json = [endpoints, metadata, settings].map((value) => JSON.stringify(value));
  const values = [tenantId, name, base_url, openapi_url, ...json, version, origin, MAX_SERVICES];
  const { rowCount } = await client.query({ name: 'replica-put', text: PUT, values });
  if (rowCount === 0) return false;
  await client.query('DELETE FROM service_tombstone WHERE tenant_id = $1 AND name = $2', [tenantId, name]);
  const ids = instances.map(({ instance_id }) => instance_id);
  await client.query({ name: 'replica-others-go', text: OTHERS_GO, values: [tenantId, name, ids] });
  const addresses = instances.map((instance) => instance.base_url);
  const weights = instances.map(({ weight }) => weight);
  const checked = (settings.health_check ?? null) !== null;
  await client.query({
    name: 'replica-put-instances',
    text: PUT_INSTANCES,
    values: [tenantId, name, ids, addresses, weights, checked],
  });
  return true;
}
