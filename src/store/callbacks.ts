/** The calls to `callback_url` that are still to be made. */
import type pg from 'pg';
import type { CallbackStore } from '../engine/ports.ts';
import type { Json } from '../schemas/json.ts';

const TAKE_DUE = `
WITH due AS (
  SELECT id FROM run WHERE callback_due_at IS NOT NULL AND callback_due_at <= now()
  ORDER BY callback_due_at LIMIT $1 FOR UPDATE SKIP LOCKED
)
UPDATE run r SET callback_due_at = now() + make_interval(secs => $2::float8 / 1000) FROM due WHERE r.id = due.id
RETURNING r.id, r.tenant_id, r.trace_id, r.parent_span_id, r.epoch, r.callback_url, r.callback_attempts, r.workflow_id, r.workflow_version, r.status, r.error, r.correlation_id,
  r.created_at, r.finished_at,
  CASE WHEN r.workflow_id IS NULL THEN (SELECT t.output FROM task t WHERE t.run_id = r.id LIMIT 1) ELSE r.output END AS output`;

interface RawCallback {
  id: string;
  tenant_id: string;
  trace_id: string | null;
  parent_span_id: string | null;
  epoch: number;
  callback_url: string;
  callback_attempts: number;
  workflow_id: string | null;
  workflow_version: number | null;
  status: string;
  output: Json;
  error: Json;
  correlation_id: string | null;
  created_at: Date;
  finished_at: Date | null;
}

export function createCallbackStore(pool: pg.Pool): CallbackStore {
  return {
    async takeDue(limit, leaseMs) {
      const { rows } = await pool.query<RawCallback>(TAKE_DUE, [limit, leaseMs]);
      return rows.map((raw) => ({
        runId: raw.id,
        tenantId: raw.tenant_id,
        traceId: raw.trace_id,
        parentSpan: raw.parent_span_id,
        epoch: raw.epoch,
        url: raw.callback_url,
        attempts: raw.callback_attempts,
        body: {
          ...(raw.workflow_id === null
            ? { task_id: raw.id }
            : { execution_id: raw.id, workflow_id: raw.workflow_id, workflow_version: raw.workflow_version }),
          status: raw.status,
          result: raw.output,
          error: raw.error,
          correlation_id: raw.correlation_id,
          created_at: raw.created_at.toISOString(),
          finished_at: raw.finished_at?.toISOString() ?? null,
        },
      }));
    },
    async delivered(runId, epoch) {
      await pool.query(
        'UPDATE run SET callback_due_at = NULL, callback_attempts = callback_attempts + 1 WHERE id = $1 AND epoch = $2',
        [runId, epoch],
      );
    },
    async again(runId, epoch, afterSeconds) {
      await pool.query(
        `UPDATE run SET callback_due_at = now() + make_interval(secs => $3::float8), callback_attempts = callback_attempts + 1
         WHERE id = $1 AND epoch = $2 AND final`,
        [runId, epoch, afterSeconds],
      );
    },
  };
}
