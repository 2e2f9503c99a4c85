/** The weights of tenants that were set while the service runs. */
import type pg from 'pg';
import type { TenantWeight, TenantWeightStore } from '../../engine/ports/tenant-weights.ts';

const SET = `
INSERT INTO tenant_weight (tenant_id, weight, set_by) VALUES ($1, $2, $3)
ON CONFLICT (tenant_id) DO UPDATE SET weight = EXCLUDED.weight, set_by = EXCLUDED.set_by, updated_at = now()
RETURNING tenant_id, weight, set_by, updated_at`;

interface Raw {
  tenant_id: string;
  weight: number;
  set_by: string;
  updated_at: Date;
}

/** `pool`: of nobody's alone, for whoever sets a weight sets it for another tenant. */
export function createTenantWeightStore(pool: pg.Pool): TenantWeightStore {
  return {
    async find(tenantId) {
      const { rows } = await pool.query<Raw>('SELECT * FROM tenant_weight WHERE tenant_id = $1', [tenantId]);
      return rows[0] && toWeight(rows[0]);
    },
    async set(tenantId, weight, by) {
      const [row] = (await pool.query<Raw>(SET, [tenantId, weight, by])).rows;
      if (row === undefined) throw new Error('the weight was not written');
      return toWeight(row);
    },
    async remove(tenantId) {
      await pool.query('DELETE FROM tenant_weight WHERE tenant_id = $1', [tenantId]);
    },
    async all() {
      const { rows } = await pool.query<Raw>('SELECT tenant_id, weight FROM tenant_weight');
      return new Map(rows.map((row) => [row.tenant_id, row.weight]));
    },
  };
}

function toWeight(raw: Raw): TenantWeight {
  return { tenantId: raw.tenant_id, weight: raw.weight, setBy: raw.set_by, updatedAt: raw.updated_at };
}
