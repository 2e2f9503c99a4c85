/** Reopens a run that has ended: the run and its tasks in one transaction, in place, under a new epoch. */
import type pg from 'pg';
import type { RetryStore } from '../../engine/ports/runs.ts';
import { type RawRun, RUN_COLUMNS, toRunRow } from './run-row.ts';

// Whoever pauses the parent waits, and then sees the child open; or it is paused with it.
const ABOVE = `
SELECT CASE WHEN p.status = 'paused' THEN true END AS holds
FROM run c JOIN run p ON p.id = c.parent_run_id WHERE c.id = $1 AND c.awaited FOR SHARE OF p`;

// One that stands in a group waits for a place again, and is added by the dispatcher when it has one.
// The run first: of two retries the second finds another epoch. No commit holds a task of a run that has ended.
const REOPEN_RUN = `
UPDATE run r SET epoch = epoch + 1, gen = 0, status = CASE WHEN $6::bool THEN 'paused' ELSE 'pending' END, paused_with_parent = $6::bool, final = false, output = NULL, error = NULL, finished_at = NULL,
  cancel_reason = NULL, ends_as = NULL, deadline_at = now() + make_interval(secs => $5::float8),
  waits_for_slot = CASE WHEN concurrency_key IS NOT NULL THEN true END,
  due_at = CASE WHEN concurrency_key IS NULL THEN now() + make_interval(secs => $4::float8) END,
  check_at = now() + interval '30 seconds', asleep = NULL, left_queue = NULL, sleeps_until = NULL
WHERE id = $1 AND epoch = $2 AND final AND status = ANY($3::text[])
RETURNING ${RUN_COLUMNS}`;

// Whoever cancels or ends the parent waits, and then sees the child open; or nothing is reopened.
const PARENT = `SELECT 1 FROM run WHERE id = $1 AND epoch = $2 AND NOT final AND status <> 'cancelling' FOR SHARE`;
const GIVE_TO_PARENT = `UPDATE run SET parent_epoch = $2, parent_attempt = $3 WHERE id = $1`;

const RETRIED = `
INSERT INTO event (run_id, epoch, kind, data)
VALUES ($1, $2, CASE WHEN $6::text IS NULL THEN 'run.retried' ELSE 'run.rerun' END,
        jsonb_strip_nulls(jsonb_build_object('by', $3::text, 'reopened', $4::int, 'reason', $5::text, 'from', $6::text)))`;

const PAUSED_WITH_PARENT = `
INSERT INTO event (run_id, epoch, kind, data)
SELECT id, epoch, 'run.paused', jsonb_build_object('by', $2::text, 'with', parent_run_id) FROM run WHERE id = $1`;

// Parts of what begins anew: its list may be another one now. No commit of the epoch before is accepted any more.
const REMOVE_PARTS = `DELETE FROM task WHERE run_id = $1 AND parent_id = ANY($2::text[])`;

/** Sets a row of `task` back to what it was before its first delivery, in the epoch $2. */
export const BEGUN_ANEW = `epoch = $2, attempt = 0, ended_attempt = 0, fence = 1, deliveries = 1, next_delivery = NULL,
    status = 'pending', final = false, tolerated = false, cached = NULL, input = NULL, output = NULL, error = NULL, commit_id = NULL,
    worker = NULL, effect_unknown = NULL, wake_at = NULL, not_before = NULL, wakes = 0, wakes_seen = 0, released_at = NULL, started_at = NULL, finished_at = NULL,
    discarded_at = NULL, updated_at = now()`;

// What completed keeps its row, and the epoch in which it did.
const REOPEN_TASKS = `
WITH was AS MATERIALIZED (
  SELECT action_id, status, tolerated FROM task
  WHERE run_id = $1 AND (action_id = ANY($3::text[]) OR parent_id = ANY($3::text[]) AND status <> 'completed')
  ORDER BY action_id FOR UPDATE
), u AS (
  UPDATE task t SET ${BEGUN_ANEW}
  FROM was WHERE t.run_id = $1 AND t.action_id = was.action_id
)
INSERT INTO event (run_id, action_id, epoch, kind)
SELECT $1, action_id, $2, 'task.retried' FROM was WHERE status = 'failed' AND NOT tolerated`;

export function createRetryStore(pool: pg.Pool): RetryStore {
  return {
    async reopen(request) {
      const { childOf } = request;
      const { runId, epoch, from, actionIds, restart, afterSeconds, timeoutSeconds, by, reason, rerunFrom } = request;
      const client = await pool.connect();
      try {
        await client.query('BEGIN');
        if (childOf !== undefined && (await client.query(PARENT, [childOf.runId, childOf.epoch])).rowCount === 0) {
          await client.query('ROLLBACK');
          client.release();
          return undefined;
        }
        const above = await client.query<{ holds: true | null }>(ABOVE, [runId]);
        const { rows } = await client.query<RawRun>(REOPEN_RUN, [
          runId,
          epoch,
          from,
          afterSeconds,
          timeoutSeconds ?? null,
          above.rows[0]?.holds ?? null,
        ]);
        const raw = rows[0];
        if (raw !== undefined) {
          await client.query(RETRIED, [runId, raw.epoch, by, actionIds.length, reason ?? null, rerunFrom ?? null]);
          if (raw.status === 'paused') await client.query(PAUSED_WITH_PARENT, [runId, by]);
          await client.query(REMOVE_PARTS, [runId, restart ?? []]);
          await client.query(REOPEN_TASKS, [runId, raw.epoch, actionIds]);
          if (childOf !== undefined) await client.query(GIVE_TO_PARENT, [runId, childOf.epoch, childOf.attempt]);
        }
        await client.query('COMMIT');
        client.release();
        return raw === undefined ? undefined : toRunRow(raw);
      } catch (error) {
        // The connection may be the very thing that broke: it is closed, which also rolls back.
        client.release(true);
        throw error;
      }
    },
  };
}
