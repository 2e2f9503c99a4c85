/** The removal of runs that ended long ago: one statement a batch, over rows that nobody else has a use for. */
import type pg from 'pg';
import type { RetentionStore } from '../engine/remove-old-runs.ts';

/** Any constant will do, as long as it is ours alone in the database. */
const RETENTION_LOCK = 7_202_612;
/** A run may have ten thousand tasks: after so many a batch is full. */
export const TASKS_PER_BATCH = 5_000;

/** The oldest come in the order of their index; a bitmap of all that is due would be made for each batch anew. */
export const BEGIN_BATCH = 'BEGIN; SET LOCAL enable_bitmapscan = off';

// Attempts and events go with the week of their run (partitions.ts); only what has no week goes here.
// A run whose end is still to be told stays, also one that another run, which has not ended, may still ask about. One that is retried at this moment is locked, and passed over.
export const REMOVE_BATCH = `
WITH candidates AS MATERIALIZED (
  SELECT r.id, r.finished_at, (SELECT count(*) FROM task t WHERE t.run_id = r.id) AS tasks
  FROM run r WHERE r.final AND r.finished_at < now() - make_interval(days => $1::int) 
    AND (r.callback_url IS NULL OR NOT EXISTS (SELECT 1 FROM webhook_delivery d WHERE d.id = r.id || '.' || r.epoch AND d.status = 'pending'))
    AND (r.awaited IS NOT TRUE OR NOT EXISTS (SELECT 1 FROM run p WHERE p.id = r.parent_run_id AND NOT p.final))
  ORDER BY r.finished_at LIMIT $2
), few AS (
  SELECT id FROM (SELECT id, sum(tasks) OVER (ORDER BY finished_at, id) - tasks AS before FROM candidates) c
  WHERE before < $3
), old AS MATERIALIZED (
  SELECT id FROM run WHERE id IN (SELECT id FROM few) AND final AND finished_at < now() - make_interval(days => $1::int)
  ORDER BY id FOR UPDATE SKIP LOCKED
), attempts AS (
  DELETE FROM attempt_default WHERE run_id IN (SELECT id FROM old)
), events AS (
  DELETE FROM event_default WHERE run_id IN (SELECT id FROM old)
), effects AS (
  DELETE FROM late_effect WHERE run_id IN (SELECT id FROM old)
), dedupes AS (
  DELETE FROM run_dedupe WHERE run_id IN (SELECT id FROM old)
), reports AS (
  DELETE FROM task_report WHERE run_id IN (SELECT id FROM old)
), chunks AS (
  DELETE FROM task_chunk WHERE run_id IN (SELECT id FROM old)
), externals AS (
  DELETE FROM external_task WHERE run_id IN (SELECT id FROM old)
), approvals AS (
  DELETE FROM approval WHERE run_id IN (SELECT id FROM old)
), decisions AS (
  DELETE FROM approval_decision WHERE run_id IN (SELECT id FROM old)
), waits AS (
  DELETE FROM signal_wait WHERE run_id IN (SELECT id FROM old)
), messages AS (
  DELETE FROM signal_message WHERE run_id IN (SELECT id FROM old)
), failures AS (
  DELETE FROM task_failure WHERE run_id IN (SELECT id FROM old)
), logs AS (
  DELETE FROM task_log WHERE run_id IN (SELECT id FROM old)
), log_sizes AS (
  DELETE FROM run_log WHERE run_id IN (SELECT id FROM old)
), tasks AS (
  DELETE FROM task WHERE run_id IN (SELECT id FROM old)
)
DELETE FROM run WHERE id IN (SELECT id FROM old)`;

export function createRetentionStore(pool: pg.Pool): RetentionStore {
  return {
    async removeBatch(olderThanDays, limit) {
      const client = await pool.connect();
      try {
        await client.query(BEGIN_BATCH);
        const { rows } = await client.query<{ mine: boolean }>('SELECT pg_try_advisory_xact_lock($1) AS mine', [
          RETENTION_LOCK,
        ]);
        const removed =
          rows[0]?.mine === true
            ? await client.query(REMOVE_BATCH, [olderThanDays, limit, TASKS_PER_BATCH])
            : undefined;
        await client.query('COMMIT');
        client.release();
        return removed?.rowCount ?? undefined;
      } catch (error) {
        // The connection may be the very thing that broke: it is closed, which also rolls back.
        client.release(true);
        throw error;
      }
    },
  };
}
