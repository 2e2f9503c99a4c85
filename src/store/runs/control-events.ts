/** What was done to workflows and lanes as a whole, by whom and why. Append-only. */
import type pg from 'pg';
import type { WorkflowPauseStore } from '../../engine/control/pause-workflow.ts';
import type { ControlEventReader, WorkflowStatus } from '../../engine/ports/read-models.ts';
import type { PrismaClient } from '../generated/client.ts';
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

/** Among the activity of a tenant alone. */
const CHANGES = ['workflow.created', 'workflow.updated', 'workflow.deleted'];

export function createWorkflowPauses(pool: pg.Pool): WorkflowPauseStore {
  return {
    async setStatus({ tenantId, userId }, workflowId, { from, to, reason, runs, operationId }) {
      const kind = to === 'paused' ? 'pause' : 'resume';
      const values = [tenantId, userId, workflowId, from, to, reason ?? null, runs, operationId ?? null, kind];
      const { rows } = await pool.query<{ was: WorkflowStatus; changed: boolean }>(SET_STATUS, values);
      return rows[0];
    },
  };
}

export function createControlEvents(prisma: PrismaClient): ControlEventReader {
  return {
    async workflowPausedBy(tenantId, workflowId) {
      const row = await prisma.controlEvent.findFirst({
        where: { tenantId, subject: 'workflow', subjectId: workflowId, kind: 'workflow.paused' },
        select: { by: true, at: true, reason: true },
        orderBy: { id: 'desc' },
      });
      return row === null ? undefined : { by: row.by, since: row.at, reason: row.reason };
    },
    async list(tenantId, { subject, subjectId, before, limit }) {
      const rows = await prisma.controlEvent.findMany({
        where: {
          tenantId,
          ...(subject === undefined ? {} : { subject }),
          ...(subjectId === undefined ? {} : { subjectId }),
          kind: { notIn: CHANGES },
          ...(before === undefined ? {} : { id: { lt: BigInt(before) } }),
        },
        orderBy: { id: 'desc' },
        // One more tells whether there is a next page.
        take: limit + 1,
      });
      const items = rows.slice(0, limit).map((row) => ({
        id: `${row.id}`,
        subject: row.subject as 'workflow' | 'lane', // One of both is what it is about.
        subjectId: row.subjectId,
        kind: row.kind,
        by: row.by,
        reason: row.reason,
        details: row.data as { runs: string } | null, // As it is written above.
        at: row.at,
      }));
      return { items, more: rows.length > limit };
    },
  };
}
