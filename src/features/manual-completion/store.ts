/** Completes a task manually: a token, the outcome under it and who it was, in one transaction. */
import type pg from 'pg';
import { WAKE_TO_COME } from '../../engine/deliver/wake-tasks.ts';
import { DUE_IF_ASLEEP } from '../../store/recover/sleeping-runs.ts';
import { commitOutcomes } from '../../store/tasks/commit.ts';
import { CLAIM } from '../../store/tasks/task-store.ts';
import type { ManualEnds } from './complete-manually.ts';

// The row is locked by the claim, so the number of its next attempt does not change any more.
const NEXT_ATTEMPT = `SELECT ended_attempt + 1 AS attempt FROM task WHERE run_id = $1 AND action_id = $2`;

// The commit has just written this event, and nobody else can have seen it.
const SAY_WHO = `
UPDATE event SET data = jsonb_strip_nulls(jsonb_build_object('by', $5::text, 'by_hand', true, 'reason', $6::text, 'overridden', $7::boolean))
WHERE run_id = $1 AND id = (
  SELECT max(id) FROM event WHERE run_id = $1 AND action_id = $2 AND epoch = $3 AND kind = 'task.' || $4::text)`;

// Whatever its parts are still doing has come too late. The jobs of those that sleep are woken by the reconciler.
const END_PARTS = `
UPDATE task t SET status = 'cancelled', final = true, tolerated = true, wakes_seen = ${WAKE_TO_COME},
  finished_at = now(), updated_at = now()
FROM (SELECT action_id FROM task WHERE run_id = $1 AND parent_id = $2 AND NOT final ORDER BY action_id FOR UPDATE) AS open
WHERE t.run_id = $1 AND t.action_id = open.action_id RETURNING t.action_id`;

// The reconciler is asked to look: whoever settles a task may die before its job is woken.
const TELL = `
WITH u AS (UPDATE run SET check_at = now(), ${DUE_IF_ASLEEP}
  WHERE id = $1 AND NOT final)
SELECT pg_notify('task_control', json_build_array($1::text, $2::text)::text)`;

export function createHandStore(pool: pg.Pool): ManualEnds {
  return {
    async settle(outcome, { by, reason, overridden }) {
      const { runId, actionId, actionType, epoch, status, worker } = outcome;
      const client = await pool.connect();
      try {
        await client.query('BEGIN');
        const claimed = await client.query<{ fence: number }>(CLAIM, [runId, epoch, actionId, actionType, worker]);
        const fence = claimed.rows[0]?.fence;
        const next = await client.query<{ attempt: number }>(NEXT_ATTEMPT, [runId, actionId]);
        const attempt = next.rows[0]?.attempt;
        let parts: string[] | undefined;
        const accepted =
          fence !== undefined &&
          attempt !== undefined &&
          (await commitOutcomes(client, [{ ...outcome, fence, attempt }]))[0] === 'accepted';
        if (accepted) {
          const ended = await client.query<{ action_id: string }>(END_PARTS, [runId, actionId]);
          parts = ended.rows.map(({ action_id: id }) => id);
          await client.query(SAY_WHO, [
            ...[runId, actionId, epoch, status, by, reason ?? null],
            overridden ? true : null,
          ]);
          await client.query(TELL, [runId, actionId]);
        }
        await client.query(accepted ? 'COMMIT' : 'ROLLBACK');
        client.release();
        return parts;
      } catch (error) {
        // The connection may be the very thing that broke: it is closed, which also rolls back.
        client.release(true);
        throw error;
      }
    },
  };
}
