/** Which lanes are paused, by whom and why; each change with its event in one statement. */
import type pg from 'pg';
import type { LanePauseStore } from '../../engine/control/lanes.ts';
import { columnsOf } from '../core/columns.ts';
import { type LanePause, Prisma } from '../generated/client.ts';

const PAUSED = `SELECT ${columnsOf(Prisma.LanePauseScalarFieldEnum)} FROM lane_pause`;

const LAST_CHANGE = `SELECT max(id)::text AS id FROM control_event WHERE subject = 'lane'`;

const PAUSE = `
WITH p AS (
  INSERT INTO lane_pause (tenant_id, by, lane, reason) VALUES ($1, $2, $3, $4) ON CONFLICT (lane) DO NOTHING RETURNING lane
), e AS (
  INSERT INTO control_event (tenant_id, by, subject, subject_id, kind, reason)
  SELECT $1, $2, 'lane', lane, 'lane.paused', $4 FROM p
)
SELECT lane FROM p`;

const RESUME = `
WITH p AS (
  DELETE FROM lane_pause WHERE lane = $3 RETURNING lane
), e AS (
  INSERT INTO control_event (tenant_id, by, subject, subject_id, kind, reason)
  SELECT $1, $2, 'lane', lane, 'lane.resumed', $4 FROM p
)
SELECT lane FROM p`;

export function createLanePauseStore(pool: pg.Pool): LanePauseStore {
  return {
    async paused() {
      return (await pool.query<LanePause>({ name: 'paused-lanes', text: PAUSED })).rows;
    },
    async lastChange() {
      const { rows } = await pool.query<{ id: string | null }>({ name: 'last-lane-change', text: LAST_CHANGE });
      return rows[0]?.id ?? null;
    },
    async pause({ tenantId, userId }, lane, reason) {
      return (await pool.query(PAUSE, [tenantId, userId, lane, reason ?? null])).rowCount === 1;
    },
    async resume({ tenantId, userId }, lane, reason) {
      return (await pool.query(RESUME, [tenantId, userId, lane, reason ?? null])).rowCount === 1;
    },
  };
}
