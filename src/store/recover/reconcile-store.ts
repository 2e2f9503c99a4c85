/** What the dispatcher and the reconciler need: the lock of all processes, and runs to check, in pages. */
import type pg from 'pg';
import type { ReconcileStore } from '../../engine/ports/reconcile.ts';
import { createSlotGiver } from '../accept/concurrency.ts';
import { releaseDue, takePending, UNDER_WAY } from '../accept/window.ts';
import { IDLE_IN_TRANSACTION_MS } from '../core/database.ts';
import { notBarredFrom } from '../core/states.ts';
import { type RawRun, RUN_COLUMNS, toRunRow } from '../runs/run-row.ts';
import { createSleepStore, WAITS_IN_QUEUE, WAITS_IN_WINDOW } from './sleeping-runs.ts';

/** Any constant will do, as long as it is ours alone in the database. */
const RECONCILE_LOCK = 7_202_611;

const TAKE_TO_CHECK = `
WITH due AS (
  SELECT id FROM run
  WHERE ${UNDER_WAY} AND check_at <= now()
  ORDER BY check_at LIMIT $1 FOR UPDATE SKIP LOCKED
), waiting AS (
  SELECT id FROM run WHERE ${WAITS_IN_WINDOW} AND check_at <= now() ORDER BY check_at LIMIT $1 FOR UPDATE SKIP LOCKED
)
UPDATE run r SET check_at = now() + make_interval(secs => $2::float8 / 1000)
FROM (SELECT id FROM due UNION ALL SELECT id FROM waiting) AS k WHERE r.id = k.id
RETURNING ${RUN_COLUMNS}`;

// Whoever has a run locked is ending it, or will be found by the next pass: this waits for nobody, so it needs no order.
const TAKE_OVERDUE = `
WITH due AS (
  SELECT id, status = 'pending' AS was_pending
  FROM run WHERE deadline_at <= now() AND NOT final AND ${notBarredFrom('cancel')}
  ORDER BY deadline_at LIMIT $1 FOR NO KEY UPDATE SKIP LOCKED
), u AS (
  UPDATE run r SET status = 'cancelling', ends_as = 'timed_out', check_at = now(),
    cancel_reason = 'it was not done by its deadline, ' || to_char(deadline_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"')
  FROM due WHERE r.id = due.id
  RETURNING ${RUN_COLUMNS}, due.was_pending, r.cancel_reason
), e AS (
  INSERT INTO event (run_id, epoch, kind, data) SELECT id, epoch, 'run.cancelling', jsonb_build_object('reason', cancel_reason) FROM u
)
SELECT u.*, pg_notify('run_control', u.id) FROM u`;

export function createReconcileStore(pool: pg.Pool): ReconcileStore {
  return {
    ...createSleepStore(pool),
    async exclusively(work) {
      const client = await pool.connect();
      let broken = false;
      // The work goes over other connections; this one says that whoever holds the lock is alive.
      let sign: Promise<unknown> = Promise.resolve();
      const signs = setInterval(() => {
        sign = client.query('SELECT 1').catch(() => undefined);
      }, IDLE_IN_TRANSACTION_MS / 4);
      try {
        // A lock of the transaction: one of the session would leak on a pooled connection.
        await client.query('BEGIN');
        const { rows } = await client.query<{ mine: boolean }>('SELECT pg_try_advisory_xact_lock($1) AS mine', [
          RECONCILE_LOCK,
        ]);
        if (rows[0]?.mine !== true) return undefined;
        return await work();
      } catch (error) {
        broken = true;
        throw error;
      } finally {
        clearInterval(signs);
        await sign;
        if (!broken) await client.query('COMMIT').catch(() => (broken = true));
        client.release(broken);
      }
    },
    giveSlots: createSlotGiver(pool),
    releaseDue: () => releaseDue(pool),
    takePending: (grants, olderThanMs) => takePending(pool, grants, olderThanMs),
    async takeToCheck(limit, againAfterMs) {
      const { rows } = await pool.query<RawRun>({
        name: 'take-to-check',
        text: TAKE_TO_CHECK,
        values: [limit, againAfterMs],
      });
      return rows.map(toRunRow);
    },
    async raiseGen(runId, epoch) {
      const { rows } = await pool.query<{ gen: number }>(
        'UPDATE run SET gen = gen + 1, left_queue = NULL WHERE id = $1 AND epoch = $2 AND NOT final RETURNING gen',
        [runId, epoch],
      );
      return rows[0]?.gen;
    },
    async checkAllNow() {
      // A run is marked as queued a little after it was: one that is pending and young may have been in the queue.
      await pool.query(
        `UPDATE run r SET check_at = now() FROM (
           SELECT id FROM run
           WHERE NOT final AND check_at > now()
             AND (${UNDER_WAY} OR ${WAITS_IN_QUEUE}
               OR status = 'pending' AND greatest(created_at, due_at) > now() - interval '10 seconds')
           ORDER BY id FOR NO KEY UPDATE) AS live
         WHERE r.id = live.id`,
      );
    },
    async checkAgain(runId, afterMs) {
      await pool.query(
        'UPDATE run SET check_at = now() + make_interval(secs => $2::float8 / 1000) WHERE id = $1 AND NOT final',
        [runId, afterMs],
      );
    },
    async takeOverdue(limit) {
      const { rows } = await pool.query<RawRun & { was_pending: boolean }>({
        name: 'take-overdue',
        text: TAKE_OVERDUE,
        values: [limit],
      });
      return rows.map((row) => ({ ...toRunRow(row), wasPending: row.was_pending }));
    },
    async cancellingForMs(runId) {
      const { rows } = await pool.query<{ ms: number | null }>(
        `SELECT extract(epoch FROM now() - max(at))::float8 * 1000 AS ms FROM event WHERE run_id = $1 AND kind = 'run.cancelling'`,
        [runId],
      );
      return rows[0]?.ms ?? 0;
    },
  };
}
