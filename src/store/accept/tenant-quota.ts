/** How many runs of a tenant wait to be started, and how many have not ended. */
import type pg from 'pg';
import { waitsForWindow } from './window.ts';

const COUNT = `
SELECT count(*)::int AS waiting FROM (
  SELECT 1 FROM run WHERE tenant_id = $1 AND ${waitsForWindow()} LIMIT $2
) AS own`;

export async function countQueuedRuns(pool: pg.Pool, tenantId: string, most: number): Promise<number> {
  const { rows } = await pool.query<{ waiting: number }>({
    name: 'queued-runs',
    text: COUNT,
    values: [tenantId, most],
  });
  return rows[0]?.waiting ?? 0;
}

const COUNT_LIVE = `SELECT count(*)::int AS live FROM (SELECT 1 FROM run WHERE tenant_id = $1 AND NOT final LIMIT $2) AS own`;

export async function countLiveRuns(pool: pg.Pool, tenantId: string, most: number): Promise<number> {
  const { rows } = await pool.query<{ live: number }>({
    name: 'live-runs',
    text: COUNT_LIVE,
    values: [tenantId, most],
  });
  return rows[0]?.live ?? 0;
}
