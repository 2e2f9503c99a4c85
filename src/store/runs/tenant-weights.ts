/** The weights of tenants that were set while the service runs. */
import type pg from 'pg';
import type { TenantWeightStore } from '../../engine/ports/tenant-weights.ts';
import { columnsOf } from '../core/columns.ts';
import { Prisma, type TenantWeight as Row } from '../generated/client.ts';

const COLUMNS = columnsOf(Prisma.TenantWeightScalarFieldEnum);
const SET = `
INSERT INTO tenant_weight (tenant_id, weight, set_by) VALUES ($1, $2, $3)
ON CONFLICT (tenant_id) DO UPDATE SET weight = EXCLUDED.weight, set_by = EXCLUDED.set_by, updated_at = now()
RETURNING ${COLUMNS}`;

/** `pool`: of nobody's alone, for whoever sets a weight sets it for another tenant. */
export function createTenantWeightStore(pool: pg.Pool): TenantWeightStore {
  return {
    async find(tenantId) {
      const { rows } = await pool.query<Row>(`SELECT ${COLUMNS} FROM tenant_weight WHERE tenant_id = $1`, [tenantId]);
      return rows[0];
    },
    async set(tenantId, weight, by) {
      const [row] = (await pool.query<Row>(SET, [tenantId, weight, by])).rows;
      if (row === undefined) throw new Error('the weight was not written');
      return row;
    },
    async remove(tenantId) {
      await pool.query('DELETE FROM tenant_weight WHERE tenant_id = $1', [tenantId]);
    },
    async all() {
      const { rows } = await pool.query<Row>(`SELECT ${COLUMNS} FROM tenant_weight`);
      return new Map(rows.map(({ tenantId, weight }) => [tenantId, weight]));
    },
  };
}
