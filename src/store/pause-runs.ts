/** Pauses and resumes runs: the status, and the event that says who it was, in one statement. */
import type pg from 'pg';
import type { PauseStore } from '../engine/pause-run.ts';
import type { RunStatus } from '../engine/use-cases.ts';

const BEFORE = `SELECT r.id, r.status, r.epoch, r.final FROM run r WHERE r.id = $2 AND r.tenant_id = $1 FOR UPDATE`;
const NOTE = `jsonb_build_object('by', $3::text, 'reason', $4::text)`;

const PAUSE = `
WITH before AS (${BEFORE}), u AS (
  UPDATE run r SET status = 'paused' FROM before b
  WHERE r.id = b.id AND NOT b.final AND b.status IN ('pending', 'queued', 'running') RETURNING r.id, r.epoch, r.status
), e AS (
  INSERT INTO event (run_id, epoch, kind, data)
  SELECT id, epoch, 'run.paused', jsonb_strip_nulls(${NOTE}) FROM u
)
SELECT b.status AS was, u.status FROM before b LEFT JOIN u ON u.id = b.id`;

// A run that has not begun may never have been in the queue: it goes back to the dispatcher, which adds it again. Nothing
// looks at a paused run, so whatever the queue has lost of it meanwhile is looked for now.
const RESUME = `
WITH before AS (${BEFORE}), u AS (
  UPDATE run r SET check_at = now(), status = CASE
      WHEN r.waits_for_slot IS NULL AND EXISTS (SELECT 1 FROM task t WHERE t.run_id = r.id AND t.epoch = r.epoch AND t.status <> 'pending') THEN 'running'
      ELSE 'pending' END,
    started_at = coalesce(r.started_at, (SELECT min(t.started_at) FROM task t WHERE t.run_id = r.id))
  FROM before b WHERE r.id = b.id AND b.status = 'paused' RETURNING r.id, r.epoch, r.status
), e AS (
  INSERT INTO event (run_id, epoch, kind, data)
  SELECT id, epoch, 'run.resumed', jsonb_strip_nulls(${NOTE}) FROM u
)
SELECT b.status AS was, u.status FROM before b LEFT JOIN u ON u.id = b.id`;

const LIVE_RUNS = `
SELECT id FROM run WHERE tenant_id = $1 AND workflow_id = $2 AND NOT final AND ($3::text IS NULL OR status = $3)
ORDER BY created_at, id`;

interface Changed {
  was: RunStatus;
  /** Null where nothing was changed. */
  status: RunStatus | null;
}

export function createPauseStore(pool: pg.Pool): PauseStore {
  return {
    async pause({ runId, tenantId, by }, reason) {
      const { rows } = await pool.query<Changed>(PAUSE, [tenantId, runId, by, reason ?? null]);
      const row = rows[0];
      return row && { was: row.was, changed: row.status !== null };
    },
    async resume({ runId, tenantId, by }, reason) {
      const { rows } = await pool.query<Changed>(RESUME, [tenantId, runId, by, reason ?? null]);
      const row = rows[0];
      return row && { was: row.was, changed: row.status !== null, status: row.status ?? row.was };
    },
    async liveRunsOf(tenantId, workflowId, status) {
      const { rows } = await pool.query<{ id: string }>(LIVE_RUNS, [tenantId, workflowId, status ?? null]);
      return rows.map(({ id }) => id);
    },
  };
}
