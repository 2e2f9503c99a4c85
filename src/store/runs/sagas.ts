/** The rows of runs that undo what they did. */
import type pg from 'pg';
import { COMPENSATION_SUFFIX, compensationId, SAGA } from '../../domain/runs/saga.ts';
import type { SagaStore } from '../../engine/deliver/compensate.ts';
import type { Json } from '../../schemas/json.ts';
import { inTransaction } from '../core/in-transaction.ts';
import { mayMove, notBarredFrom } from '../core/states.ts';
import { CANCELLED_AS, CANCELLED_ERROR, FIRST_FAILURE } from './cancelled-runs.ts';
import { BEGUN_ANEW } from './reopen-run.ts';
import { definitionRef, type RawRun, RUN_COLUMNS, toRunRow } from './run-row.ts';

/** Rows for the undoings $3 (their types: $4) of a run `r`, which comes from here. */
const writeUndoingsOf = (source: string): string => `
INSERT INTO task (run_id, action_id, action_type, epoch, status, parent_id, position)
SELECT r.id, k.action_id, k.action_type, r.epoch, 'pending', '${SAGA}', k.n - 1
FROM ${source} r, unnest($3::text[], $4::text[]) WITH ORDINALITY AS k(action_id, action_type, n)`;

// The cause stays in the row: what the run would have ended as, and why.
const BEGIN = `
WITH failure AS (
  ${FIRST_FAILURE}
), u AS (
  UPDATE run r SET status = 'compensating', check_at = now(),
    ends_as = CASE WHEN r.status = 'cancelling' THEN ${CANCELLED_AS} ELSE 'failed' END,
    error = CASE WHEN r.status = 'cancelling' THEN ${CANCELLED_ERROR} ELSE (SELECT error FROM failure) END
  WHERE r.id = $1 AND r.epoch = $2 AND NOT r.final AND ${notBarredFrom('compensate', 'r.status')}
  RETURNING r.id, r.epoch, r.ends_as
), e AS (
  INSERT INTO event (run_id, epoch, kind, data)
  SELECT id, epoch, 'run.compensating', jsonb_build_object('because', ends_as, 'actions', cardinality($3::text[])) FROM u
)${writeUndoingsOf('u')} ORDER BY k.action_id
ON CONFLICT (run_id, action_id) DO NOTHING`;

// What was found to have happened after all while the others were being undone.
const EXTEND = `${writeUndoingsOf('run')}
WHERE r.id = $1 AND r.epoch = $2 AND NOT r.final AND ${mayMove('endCompensated', 'r.status')} ORDER BY k.action_id
ON CONFLICT (run_id, action_id) DO NOTHING`;

// Whoever undoes an action of a run that is still under way knows of it; else it is due when the run has ended.
const TAKE_LATE = `
SELECT r.id, r.epoch, r.workflow_id, r.workflow_version, r.inline FROM (
  SELECT DISTINCT run_id FROM (SELECT run_id FROM late_effect WHERE compensation = 'due' ORDER BY id LIMIT $1) AS oldest
) AS l JOIN run r ON r.id = l.run_id AND r.final ORDER BY r.id`;

const LOCK_RUN = 'SELECT 1 FROM run WHERE id = $1 AND epoch = $2 AND final FOR UPDATE';

// One that began to be undone after that knew of it. What a run did that completed stays.
const SETTLE_LATE = `
UPDATE late_effect l SET compensation = CASE
  -- Nor is it undone here when the action was retried since.
  WHEN r.status = 'completed' OR NOT EXISTS (
    SELECT 1 FROM task t WHERE t.run_id = l.run_id AND t.action_id = l.action_id AND t.epoch = l.epoch AND t.effect_unknown
  ) THEN NULL
  WHEN EXISTS (SELECT 1 FROM task u WHERE u.run_id = l.run_id AND u.action_id = l.action_id || '${COMPENSATION_SUFFIX}' AND u.final AND u.started_at > l.at)
  THEN 'started' ELSE 'due' END
FROM run r WHERE r.id = $1 AND l.run_id = $1 AND l.compensation = 'due'
RETURNING l.action_id, l.compensation = 'due' AS due`;

const REOPEN_LATE = `
UPDATE run r SET epoch = epoch + 1, gen = 0, status = 'compensating', final = false, finished_at = NULL, callback_due_at = NULL,
  callback_attempts = 0, check_at = now(),
  ends_as = CASE WHEN ${mayMove('retry')} THEN status ELSE ends_as END
WHERE id = $1 RETURNING ${RUN_COLUMNS}`;

const LATE_STARTED = `UPDATE late_effect SET compensation = 'started' WHERE run_id = $1 AND compensation = 'due'`;

const COMPENSATING_LATE = `
INSERT INTO event (run_id, epoch, kind, data)
VALUES ($1, $2, 'run.compensating', jsonb_build_object('because', 'late_effect', 'actions', $3::int))`;

const WAS_LEASED = `
SELECT 1 FROM external_task WHERE run_id = $1 AND action_id = $2 AND epoch = $3 AND deliveries > 0 LIMIT 1`;

const LATE_OUTPUT = `
SELECT output FROM late_effect WHERE run_id = $1 AND action_id = $2 AND epoch = $3 ORDER BY id LIMIT 1`;

const END = `
WITH undoings AS (
  SELECT bool_and(final) AS over, bool_or(status <> 'completed') AS failed FROM task WHERE run_id = $1 AND parent_id = '${SAGA}'
), f AS (
  UPDATE run r SET final = true, output = NULL, finished_at = now(), started_at = coalesce(r.started_at, now()),
    status = CASE WHEN u.failed THEN 'compensation_failed' ELSE 'compensated' END
  FROM undoings u WHERE r.id = $1 AND r.epoch = $2 AND NOT r.final AND ${mayMove('endCompensated', 'r.status')} AND u.over
  RETURNING r.id, r.epoch, r.status
), e AS (
  INSERT INTO event (run_id, epoch, kind) SELECT id, epoch, 'run.' || status FROM f
)
SELECT count(pg_notify('run_final', id)) FROM f`;

const REOPEN = `
UPDATE run r SET epoch = epoch + 1, gen = 0, status = 'compensating', final = false, finished_at = NULL,
  check_at = now(), left_queue = NULL
WHERE id = $1 AND epoch = $2 AND final AND ${mayMove('retryCompensation')}
RETURNING ${RUN_COLUMNS}`;

const REOPEN_UNDOINGS = `
WITH open AS MATERIALIZED (
  SELECT action_id, status FROM task WHERE run_id = $1 AND parent_id = '${SAGA}' AND (status <> 'completed' OR action_id = ANY($3::text[]))
  ORDER BY action_id FOR UPDATE
), told AS (
  INSERT INTO event (run_id, action_id, epoch, kind) SELECT $1, action_id, $2, 'task.retried' FROM open WHERE status = 'failed'
)
UPDATE task t SET ${BEGUN_ANEW}
FROM open WHERE t.run_id = $1 AND t.action_id = open.action_id`;

const RETRIED = `
INSERT INTO event (run_id, epoch, kind, data)
VALUES ($1, $2, 'run.retried', jsonb_strip_nulls(jsonb_build_object('by', $3::text, 'reopened', $4::int, 'reason', $5::text)))`;

export function createSagaStore(pool: pg.Pool): SagaStore {
  return {
    async start({ id, epoch }, undoings) {
      const ids = undoings.map(({ actionId }) => actionId);
      const types = undoings.map(({ actionType }) => actionType);
      await pool.query({ name: 'begin-saga', text: BEGIN, values: [id, epoch, ids, types] });
    },
    async release(runId, actionIds) {
      if (actionIds.length === 0) return;
      await pool.query({
        name: 'release-undoings',
        text: 'UPDATE task SET released_at = now() WHERE run_id = $1 AND action_id = ANY($2::text[]) AND NOT final',
        values: [runId, actionIds],
      });
    },
    reopen: ({ id, epoch }, by, reason) =>
      inTransaction(pool, async (client) => {
        const { rows } = await client.query<RawRun>(REOPEN, [id, epoch]);
        const raw = rows[0];
        if (raw === undefined) return undefined;
        const { rowCount } = await client.query(REOPEN_UNDOINGS, [id, raw.epoch, []]);
        await client.query(RETRIED, [id, raw.epoch, by, rowCount ?? 0, reason ?? null]);
        return { run: toRunRow(raw), compensations: rowCount ?? 0 };
      }),
    async extend({ id, epoch }, undoings) {
      const ids = undoings.map(({ actionId }) => actionId);
      const types = undoings.map(({ actionType }) => actionType);
      await pool.query({ name: 'extend-saga', text: EXTEND, values: [id, epoch, ids, types] });
    },
    async takeLate(limit) {
      const { rows } = await pool.query<Pick<RawRun, 'id' | 'epoch' | 'workflow_id' | 'workflow_version' | 'inline'>>({
        name: 'take-late-effects',
        text: TAKE_LATE,
        values: [limit],
      });
      return rows.map((row) => ({ id: row.id, epoch: row.epoch, of: definitionRef(row) }));
    },
    reopenForLate: ({ id, epoch }, undoings) =>
      inTransaction(pool, async (client) => {
        if ((await client.query(LOCK_RUN, [id, epoch])).rowCount === 0) return false;
        const { rows } = await client.query<{ action_id: string; due: boolean | null }>(SETTLE_LATE, [id]);
        const due = rows.filter((row) => row.due === true).map((row) => row.action_id);
        if (due.length === 0) return false;
        const { rows: reopened } = await client.query<RawRun>(REOPEN_LATE, [id]);
        const now = reopened[0]?.epoch ?? epoch;
        const ids = undoings.map(({ actionId }) => actionId);
        const types = undoings.map(({ actionType }) => actionType);
        await client.query(EXTEND, [id, now, ids, types]);
        await client.query(REOPEN_UNDOINGS, [id, now, due.map(compensationId)]);
        await client.query(LATE_STARTED, [id]);
        await client.query(COMPENSATING_LATE, [id, now, due.length]);
        return true;
      }),
    async wasLeased(runId, actionId, epoch) {
      const { rowCount } = await pool.query({ name: 'was-leased', text: WAS_LEASED, values: [runId, actionId, epoch] });
      return rowCount !== 0;
    },
    async lateOutput(runId, actionId, epoch) {
      const { rows } = await pool.query<{ output: Json }>(LATE_OUTPUT, [runId, actionId, epoch]);
      return rows[0];
    },
    async end({ id, epoch }) {
      await pool.query({ name: 'end-saga', text: END, values: [id, epoch] });
    },
  };
}
