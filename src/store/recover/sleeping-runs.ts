/**
 * Runs that sleep. One that is `waiting` and `asleep` takes no slot of the window; when it has left the queue too it is a
 * row and nothing else, until it is due or a wake makes it so. Whoever wakes a task has the run locked after the task, and
 * so does whoever marks the run as asleep: one of the two sees the other (see docs/decisions/0061).
 */
import type pg from 'pg';
import type { RunRow } from '../../engine/ports/rows.ts';
import type { SleepStore } from '../../engine/ports/sleep.ts';
import { BY_KEY_ALONE } from '../core/by-key.ts';
import { mayMove } from '../core/states.ts';
import { type RawRun, RUN_COLUMNS, toRunRow } from '../runs/run-row.ts';

/** As the index `run_waiting_in_queue` has it. */
export const WAITS_IN_QUEUE = `status = 'waiting' AND left_queue IS NULL`;
/** Waits, and counts in the window all the same: for another run. */
export const WAITS_IN_WINDOW = `${WAITS_IN_QUEUE} AND asleep IS NULL`;
const SLEEPS_IN_QUEUE = `${WAITS_IN_QUEUE} AND asleep`;
export const SLEEPS_APART = `status = 'waiting' AND left_queue AND sleeps_until IS NOT NULL`;

/** Sets it for a row of `run`: somebody wants it to be checked now. */
export const DUE_IF_ASLEEP = `sleeps_until = CASE WHEN status = 'waiting' AND asleep THEN now() ELSE sleeps_until END`;

/** `woken`: a list of tasks that were woken in the same statement, with their `run_id`. Makes their runs due. */
export const wakeRunsOf = (woken: string): string => `
woken_run AS MATERIALIZED (
  SELECT id, status, asleep FROM run WHERE id IN (SELECT run_id FROM ${woken}) ORDER BY id FOR NO KEY UPDATE
), made_due AS (
  UPDATE run SET sleeps_until = now(), check_at = now() FROM woken_run k WHERE run.id = k.id AND k.status = 'waiting' AND k.asleep
)`;

const FALL_ASLEEP = `
WITH held AS MATERIALIZED (
  SELECT k.* FROM (
    SELECT DISTINCT ON (id) * FROM unnest($1::text[], $2::int[], $3::timestamptz[], $4::bool[], $5::float8[])
      AS k(id, epoch, until, for_run, look_ms) ORDER BY id
  ) k CROSS JOIN LATERAL (
    SELECT FROM run WHERE id = k.id AND epoch = k.epoch
      AND (NOT final AND ${mayMove('fallAsleep')} AND waits_for_slot IS NULL) ${BY_KEY_ALONE}
    FOR NO KEY UPDATE
  ) under_way
), u AS (
  UPDATE run r SET status = 'waiting', asleep = CASE WHEN k.for_run THEN NULL ELSE true END, sleeps_until = k.until,
    started_at = coalesce(r.started_at, (SELECT min(t.started_at) FROM task t WHERE t.run_id = r.id), now()),
    check_at = CASE WHEN k.for_run THEN r.check_at ELSE now() + make_interval(secs => k.look_ms / 1000) END
  FROM held k WHERE r.id = k.id
  RETURNING r.id, r.epoch, k.until
)
INSERT INTO event (run_id, epoch, kind, data)
SELECT id, epoch, 'run.waiting', CASE WHEN until IS NOT NULL
  THEN jsonb_build_object('until', to_char(until AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"')) END FROM u`;

const ROUSE = `
WITH u AS (
  UPDATE run SET status = 'running', asleep = NULL, sleeps_until = NULL, check_at = now() + make_interval(secs => $2::float8 / 1000)
  WHERE id = $1 AND (${mayMove('rouse')} AND NOT final) ${BY_KEY_ALONE} RETURNING id, epoch
)
INSERT INTO event (run_id, epoch, kind) SELECT id, epoch, 'run.running' FROM u`;

const TAKE_SLEEPERS = `
WITH due AS (
  SELECT id FROM run WHERE ${SLEEPS_IN_QUEUE} AND check_at <= now() ORDER BY check_at LIMIT $1 FOR UPDATE SKIP LOCKED
)
UPDATE run r SET check_at = now() + make_interval(secs => $2::float8 / 1000) FROM due WHERE r.id = due.id
RETURNING ${RUN_COLUMNS}`;

const CHECK_LATER = `
UPDATE run SET check_at = $2, sleeps_until = $3
WHERE id = $1 AND (${WAITS_IN_QUEUE} AND asleep IS TRUE) ${BY_KEY_ALONE} AND (sleeps_until IS NULL OR sleeps_until > now())`;

const LEAVE_QUEUE = `
WITH held AS MATERIALIZED (
  SELECT k.* FROM (
    SELECT * FROM unnest($1::text[], $2::int[], $3::int[], $4::timestamptz[]) AS k(id, epoch, gen, until) ORDER BY id
  ) k CROSS JOIN LATERAL (
    SELECT FROM run WHERE id = k.id AND epoch = k.epoch AND gen = k.gen
      AND (NOT final AND ${WAITS_IN_QUEUE} AND asleep IS TRUE) ${BY_KEY_ALONE} AND (sleeps_until IS NULL OR sleeps_until > now())
    FOR NO KEY UPDATE
  ) asleep
)
UPDATE run r SET left_queue = true, sleeps_until = k.until FROM held k WHERE r.id = k.id RETURNING r.id`;

// From tenant to tenant by the index, and in turn: however many runs of one tenant are due at the same moment, those of
// another are not behind them.
const TAKE_DUE = `
WITH RECURSIVE tenant AS (
  (SELECT tenant_id FROM run WHERE ${SLEEPS_APART} AND EXISTS (SELECT 1 FROM run d WHERE d.status = 'waiting' AND d.left_queue
     AND d.sleeps_until IS NOT NULL AND d.sleeps_until <= now()) ORDER BY tenant_id LIMIT 1)
  UNION ALL
  SELECT (SELECT r.tenant_id FROM run r WHERE ${SLEEPS_APART} AND r.tenant_id > t.tenant_id ORDER BY r.tenant_id LIMIT 1)
  FROM tenant t WHERE t.tenant_id IS NOT NULL
), due AS (
  SELECT d.id, d.turn FROM tenant t CROSS JOIN LATERAL (
    SELECT r.id, row_number() OVER (ORDER BY r.sleeps_until, r.id) AS turn FROM run r
    WHERE r.tenant_id = t.tenant_id AND ${SLEEPS_APART} AND r.sleeps_until <= now() ORDER BY r.sleeps_until, r.id LIMIT $1
  ) d WHERE t.tenant_id IS NOT NULL
), next AS (
  SELECT id FROM run WHERE id = ANY (ARRAY(SELECT id FROM due ORDER BY turn LIMIT $1)) AND ${SLEEPS_APART} AND NOT final
  ORDER BY id FOR UPDATE SKIP LOCKED
), u AS (
  UPDATE run r SET status = 'running', asleep = NULL, left_queue = NULL, sleeps_until = NULL, gen = r.gen + 1,
    check_at = now() + make_interval(secs => $2::float8 / 1000)
  FROM next WHERE r.id = next.id
  RETURNING ${RUN_COLUMNS}
), e AS (
  INSERT INTO event (run_id, epoch, kind) SELECT id, epoch, 'run.running' FROM u
)
SELECT * FROM u`;

export function createSleepStore(pool: pg.Pool): SleepStore {
  return {
    async fallAsleep(sleeps) {
      const values = [
        sleeps.map(({ run }) => run.id),
        sleeps.map(({ run }) => run.epoch),
        sleeps.map(({ until }) => until ?? null),
        sleeps.map(({ forRun }) => forRun),
        sleeps.map(({ checkAfterMs: lookAfterMs }) => lookAfterMs),
      ];
      await pool.query({ name: 'fall-asleep', text: FALL_ASLEEP, values });
    },
    async rouse(runId, lookAfterMs) {
      await pool.query({ name: 'rouse-run', text: ROUSE, values: [runId, lookAfterMs] });
    },
    async takeSleepers(limit, againAfterMs): Promise<RunRow[]> {
      const { rows } = await pool.query<RawRun>({
        name: 'take-sleepers',
        text: TAKE_SLEEPERS,
        values: [limit, againAfterMs],
      });
      return rows.map(toRunRow);
    },
    async recheckAt(runId, at, until) {
      await pool.query({ name: 'look-again', text: CHECK_LATER, values: [runId, at, until ?? null] });
    },
    async leaveQueue(leaving) {
      const values = [
        leaving.map(({ run }) => run.id),
        leaving.map(({ run }) => run.epoch),
        leaving.map(({ run }) => run.gen),
        leaving.map(({ until }) => until ?? null),
      ];
      const { rows } = await pool.query<{ id: string }>({ name: 'leave-queue', text: LEAVE_QUEUE, values });
      return rows.map(({ id }) => id);
    },
    async takeDue(limit, lookAfterMs): Promise<RunRow[]> {
      const { rows } = await pool.query<RawRun>({ name: 'take-due', text: TAKE_DUE, values: [limit, lookAfterMs] });
      return rows.map(toRunRow);
    },
  };
}
