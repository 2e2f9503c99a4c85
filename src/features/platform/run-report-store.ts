/** Reads what the newest runs of a tenant and their events were, over a bounded stretch of both. */
import type pg from 'pg';
import type { ReportReader } from './ports.ts';
import type { PlatformEvent } from './run-report.ts';

const MAX_RUNS = 1_000;
const MAX_RUNS_WITH_EVENTS = 200;
const MAX_EVENTS = 1_000;

const STATUSES = `
SELECT status FROM run WHERE tenant_id = $1 AND id <> $2 ORDER BY created_at DESC, id DESC LIMIT ${MAX_RUNS}`;
const EVENTS = `
WITH recent AS MATERIALIZED (
  SELECT id, created_at FROM run WHERE tenant_id = $1 AND id <> $2
  ORDER BY created_at DESC, id DESC LIMIT ${MAX_RUNS_WITH_EVENTS}
)
SELECT kind, action_id FROM (
  SELECT e.kind, e.action_id, e.at, e.id FROM recent r
  CROSS JOIN LATERAL (
    SELECT kind, action_id, at, id FROM event WHERE run_id = r.id ORDER BY id DESC LIMIT ${MAX_EVENTS}
  ) e
  UNION ALL
  SELECT 'run.requested', NULL, created_at, NULL FROM recent
) told ORDER BY at DESC, id DESC NULLS LAST LIMIT ${MAX_EVENTS}`;

export function createReportReader(pool: pg.Pool): ReportReader {
  return {
    async statuses(tenantId, asking) {
      const { rows } = await pool.query<{ status: string }>(STATUSES, [tenantId, asking]);
      return rows.map(({ status }) => status);
    },
    async events(tenantId, asking) {
      const { rows } = await pool.query<{ kind: string; action_id: string | null }>(EVENTS, [tenantId, asking]);
      return rows.map(({ kind, action_id }): PlatformEvent => ({ kind, actionId: action_id }));
    },
  };
}
