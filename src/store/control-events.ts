/** What was done to workflows and lanes as a whole, by whom and why. Append-only. */
import type pg from 'pg';
import type { WorkflowPauseStore } from '../engine/pause-workflow.ts';
import type { ControlEventReader, WorkflowStatus } from '../engine/read-models.ts';
import { ABOUT, FIRST_TURN_SECONDS, OPERATION_KEPT } from './control-operations.ts';

const SET_STATUS = `
WITH before AS (
  SELECT id, status FROM workflow WHERE tenant_id = $1 AND id = $3 AND deleted_at IS NULL FOR UPDATE
), u AS (
  UPDATE workflow w SET status = $5, updated_at = now() FROM before b WHERE w.id = b.id AND b.status = $4 RETURNING w.id
), e AS (
  INSERT INTO control_event (tenant_id, by, subject, subject_id, kind, reason, data)
  SELECT $1, $2, 'workflow', id, CASE $5 WHEN 'active' THEN 'workflow.resumed' ELSE 'workflow.' || $5 END, $6,
         jsonb_build_object('runs', $7::text) FROM u
), wanted AS (
  -- Asked for again, it is about the runs.
  SELECT b.id FROM before b LEFT JOIN u ON u.id = b.id WHERE $8::text IS NOT NULL AND (u.id IS NOT NULL OR b.status = $5)
), s AS (
  UPDATE control_operation o SET status = 'superseded', finished_at = now()
  FROM before b LEFT JOIN u ON u.id = b.id LEFT JOIN wanted w ON w.id = b.id
  WHERE o.tenant_id = $1 AND o.workflow_id = b.id AND o.finished_at IS NULL AND (u.id IS NOT NULL OR w.id IS NOT NULL)
), o AS (
  INSERT INTO control_operation (id, tenant_id, workflow_id, kind, reason, requested_by, total, expires_at, due_at)
  SELECT $8, $1, id, $9, $6, $2,
         (SELECT count(*)::int FROM run r WHERE r.tenant_id = $1 AND r.workflow_id = $3 AND ${ABOUT('$9::text')}),
         now() + ${OPERATION_KEPT}, now() + interval '${FIRST_TURN_SECONDS} seconds'
  FROM wanted RETURNING id
)
SELECT b.status AS was, u.id IS NOT NULL AS changed FROM before b LEFT JOIN u ON u.id = b.id`;

const PAUSED_BY = `
SELECT by, at, reason FROM control_event WHERE tenant_id = $1 AND subject = 'workflow' AND subject_id = $2
  AND kind = 'workflow.paused' ORDER BY id DESC LIMIT 1`;

// One more than asked for tells whether there is a next page. Ordered by the number: as a text 9 would be more than 10.
const LIST = `
SELECT e.id::text, subject, subject_id, kind, by, reason, data, at FROM control_event e
WHERE tenant_id = $1 AND ($2::text IS NULL OR subject = $2) AND ($3::text IS NULL OR subject_id = $3)
  AND kind NOT IN ('workflow.created', 'workflow.updated', 'workflow.deleted')
  AND ($4::bigint IS NULL OR e.id < $4) ORDER BY e.id DESC LIMIT $5::int + 1`;

interface RawEvent {
  id: string;
  subject: 'workflow' | 'lane';
  subject_id: string;
  kind: string;
  by: string;
  reason: string | null;
  data: { runs: string } | null;
  at: Date;
}

export function createControlEvents(pool: pg.Pool): WorkflowPauseStore & ControlEventReader {
  return {
    async setStatus({ tenantId, userId }, workflowId, { from, to, reason, runs, operationId }) {
      const kind = to === 'paused' ? 'pause' : 'resume';
      const values = [tenantId, userId, workflowId, from, to, reason ?? null, runs, operationId ?? null, kind];
      const { rows } = await pool.query<{ was: WorkflowStatus; changed: boolean }>(SET_STATUS, values);
      return rows[0];
    },
    async workflowPausedBy(tenantId, workflowId) {
      const { rows } = await pool.query<Pick<RawEvent, 'by' | 'at' | 'reason'>>(PAUSED_BY, [tenantId, workflowId]);
      const row = rows[0];
      return row && { by: row.by, since: row.at.toISOString(), reason: row.reason };
    },
    async list(tenantId, { subject, subjectId, before, limit }) {
      const values = [tenantId, subject ?? null, subjectId ?? null, before ?? null, limit];
      const { rows } = await pool.query<RawEvent>(LIST, values);
      const items = rows.slice(0, limit).map(({ at, data, ...row }) => ({
        ...row,
        details: data,
        at: at.toISOString(),
      }));
      return { items, more: rows.length > limit };
    },
  };
}
