/** Circuits of workers that are not closed, as they were reported in batches. */
import type pg from 'pg';
import { ALIVE_SECONDS } from '../../domain/health/liveness.ts';
import type { CircuitStore, OpenCircuit } from './ports.ts';

const WRITE = `
WITH c AS (
  SELECT * FROM unnest($2::text[], $3::text[], $4::text[], $5::text[]) AS c (tenant_id, name, instance_id, state)
), closed AS (
  DELETE FROM service_circuit s USING c
  WHERE s.worker = $1 AND s.tenant_id = c.tenant_id AND s.name = c.name AND s.instance_id = c.instance_id AND c.state = 'closed'
)
INSERT INTO service_circuit (worker, tenant_id, name, instance_id, state)
SELECT $1, tenant_id, name, instance_id, state FROM c WHERE state <> 'closed'
ON CONFLICT (worker, tenant_id, name, instance_id) DO UPDATE SET state = EXCLUDED.state, since = now()`;

// A worker that has only just started may not have said so yet.
const LIST = `
SELECT c.name, c.instance_id AS "instanceId", c.worker, c.state, c.since FROM service_circuit c
WHERE c.tenant_id = $1 AND (c.since > now() - interval '${ALIVE_SECONDS} seconds'
  OR EXISTS (SELECT 1 FROM worker w WHERE w.id = c.worker AND w.seen_at > now() - interval '${ALIVE_SECONDS} seconds'))
ORDER BY c.name, c.instance_id, c.worker`;

export function createCircuitStore(pool: pg.Pool): CircuitStore {
  return {
    async write(worker, changes) {
      const columns = (['tenantId', 'name', 'instanceId', 'state'] as const).map((of) => changes.map((one) => one[of]));
      await pool.query({ name: 'circuits-write', text: WRITE, values: [worker, ...columns] });
    },
    async clear(worker) {
      await pool.query({
        name: 'circuits-clear',
        text: 'DELETE FROM service_circuit WHERE worker = $1',
        values: [worker],
      });
    },
    async list(tenantId) {
      return (await pool.query<OpenCircuit>({ name: 'circuits-list', text: LIST, values: [tenantId] })).rows;
    },
  };
}
