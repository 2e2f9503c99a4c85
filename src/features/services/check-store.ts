/** Health checks that are due, what came of them, and the end of what nobody renews. */
import type pg from 'pg';
import { createBatcher } from '../../store/core/batch.ts';
import { columnsOf } from '../../store/core/columns.ts';
import { inTransaction } from '../../store/core/in-transaction.ts';
import { untilItPasses } from '../../store/core/transient.ts';
import type { Prisma } from '../../store/generated/client.ts';
import { createPlatformEvents } from '../events/event-log-store.ts';
import type { InstanceHealth } from './domain.ts';
import type { CheckResult, DueCheck, ServiceCheckStore } from './ports.ts';
import { SERVICE_CHANNEL } from './store.ts';

// Not due again before this check is over, however long it takes.
const TAKE_DUE = `
WITH due AS MATERIALIZED (
  SELECT tenant_id, name, instance_id FROM service_instance
  WHERE check_at <= now() AND (expires_at IS NULL OR expires_at > now())
  ORDER BY check_at LIMIT $1 FOR UPDATE SKIP LOCKED
)
UPDATE service_instance i SET check_at = now() + make_interval(secs => greatest(
    (s.settings #>> '{health_check,interval_seconds}')::float8, (s.settings #>> '{health_check,timeout_seconds}')::float8 + 1))
FROM due d JOIN service s ON s.tenant_id = d.tenant_id AND s.name = d.name
WHERE i.tenant_id = d.tenant_id AND i.name = d.name AND i.instance_id = d.instance_id
RETURNING ${columnsOf({ tenantId: true, name: true, instanceId: true, baseUrl: true }, { table: 'i' })},
  s.settings -> 'health_check' AS check`;

// What was registered elsewhere meanwhile is another instance.
const CHANGED = { tenantId: true, name: true, instanceId: true, health: true } as const;
const RECORD = `
WITH r AS (
  SELECT * FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::text[], $6::float8[], $7::int[], $8::int[])
    AS r (tenant_id, name, instance_id, base_url, error, latency_ms, healthy, unhealthy)
), before AS (
  SELECT i.tenant_id, i.name, i.instance_id, i.health FROM service_instance i JOIN r USING (tenant_id, name, instance_id)
  ORDER BY 1, 2, 3 FOR UPDATE OF i
), u AS (
  UPDATE service_instance i SET
    passed = CASE WHEN r.error IS NULL THEN i.passed + 1 ELSE 0 END,
    failed = CASE WHEN r.error IS NULL THEN 0 ELSE i.failed + 1 END,
    health = CASE WHEN r.error IS NULL AND i.passed + 1 >= r.healthy THEN 'healthy'
                  WHEN r.error IS NOT NULL AND i.failed + 1 >= r.unhealthy THEN 'unhealthy' ELSE i.health END,
    checked_at = now(), latency_ms = r.latency_ms, last_error = r.error
  FROM r JOIN before b USING (tenant_id, name, instance_id)
  WHERE i.tenant_id = r.tenant_id AND i.name = r.name AND i.instance_id = r.instance_id AND i.base_url = r.base_url
  RETURNING i.tenant_id, i.name, i.instance_id, i.health, b.health AS was
)
SELECT ${columnsOf(CHANGED)}, pg_notify('${SERVICE_CHANNEL}', '') FROM u WHERE health <> was`;

const GONE = { tenantId: true, name: true } as const;
const REMOVE_GONE = `
WITH gone AS (
  DELETE FROM service_instance WHERE (tenant_id, name, instance_id) IN (
    SELECT tenant_id, name, instance_id FROM service_instance WHERE expires_at < now() - interval '1 hour'
    ORDER BY expires_at LIMIT $1 FOR UPDATE SKIP LOCKED)
  RETURNING tenant_id, name
), empty AS (
  DELETE FROM service s USING (SELECT DISTINCT tenant_id, name FROM gone) g
  WHERE s.tenant_id = g.tenant_id AND s.name = g.name AND NOT EXISTS (
    SELECT 1 FROM service_instance i WHERE i.tenant_id = s.tenant_id AND i.name = s.name
      AND (i.expires_at IS NULL OR i.expires_at >= now() - interval '1 hour'))
  RETURNING s.tenant_id, s.name, s.version, s.origin
)
INSERT INTO service_tombstone AS t (tenant_id, name, version, origin)
SELECT tenant_id, name, greatest(version + 1, (extract(epoch FROM clock_timestamp()) * 1000)::bigint), origin FROM empty
ON CONFLICT (tenant_id, name) DO UPDATE SET version = greatest(t.version, EXCLUDED.version), deleted_at = now()
RETURNING ${columnsOf(GONE)}, pg_notify('${SERVICE_CHANNEL}', '')`;

export function createServiceCheckStore(pool: pg.Pool): ServiceCheckStore {
  const keyOf = ({ tenantId, name, instanceId }: Pick<DueCheck, 'tenantId' | 'name' | 'instanceId'>) =>
    JSON.stringify([tenantId, name, instanceId]);

  async function recordAll(results: readonly CheckResult[]): Promise<(InstanceHealth | undefined)[]> {
    const column = <T>(value: (result: CheckResult) => T) => results.map(value);
    const { rows } = await pool.query<Prisma.ServiceInstanceGetPayload<{ select: typeof CHANGED }>>({
      name: 'service-checks-record',
      text: RECORD,
      values: [
        column(({ of }) => of.tenantId),
        column(({ of }) => of.name),
        column(({ of }) => of.instanceId),
        column(({ of }) => of.baseUrl),
        column(({ error }) => error ?? null),
        column(({ latencyMs }) => latencyMs),
        column(({ of }) => of.check.healthy_threshold),
        column(({ of }) => of.check.unhealthy_threshold),
      ],
    });
    // Only these words are ever written.
    const changed = new Map(rows.map((row) => [keyOf(row), row.health as InstanceHealth]));
    return results.map(({ of }) => changed.get(keyOf(of)));
  }

  const batcher = createBatcher<CheckResult, InstanceHealth | undefined>({
    maxItems: 100,
    flush: recordAll,
    retryAfter: untilItPasses,
  });

  return {
    async takeDue(limit) {
      return (await pool.query<DueCheck>({ name: 'service-checks-due', text: TAKE_DUE, values: [limit] })).rows;
    },
    record: batcher,
    async removeGone(limit) {
      await inTransaction(pool, async (client) => {
        const { rows } = await client.query<Prisma.ServiceInstanceGetPayload<{ select: typeof GONE }>>({
          name: 'service-instances-gone',
          text: REMOVE_GONE,
          values: [limit],
        });
        const tell = createPlatformEvents(client);
        for (const { tenantId, name } of rows) {
          await tell({ tenantId, kind: 'service.removed', data: { service: name, cause: 'expired' } });
        }
      });
    },
  };
}
