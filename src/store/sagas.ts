/** The rows of runs that undo what they did. */
import type pg from 'pg';
import { SAGA } from '../domain/saga.ts';
import type { SagaStore } from '../engine/compensate.ts';
import { CANCELLED_AS, CANCELLED_ERROR } from './cancelled-runs.ts';
import { inTransaction } from './in-transaction.ts';
import { type RawRun, RUN_COLUMNS, toRunRow } from './run-row.ts';

// The cause stays in the row: what the run would have ended as, and why.
const BEGIN = `
WITH failure AS (
  SELECT error FROM task WHERE run_id = $1 AND status = 'failed' AND NOT tolerated ORDER BY finished_at LIMIT 1
), u AS (
  UPDATE run r SET status = 'compensating', check_at = now(),
    ends_as = CASE WHEN r.status = 'cancelling' THEN ${CANCELLED_AS} ELSE 'failed' END,
    error = CASE WHEN r.status = 'cancelling' THEN ${CANCELLED_ERROR} ELSE (SELECT error FROM failure) END
  WHERE r.id = $1 AND r.epoch = $2 AND NOT r.final AND r.status <> 'compensating'
  RETURNING r.id, r.epoch, r.ends_as
), e AS (
  INSERT INTO event (run_id, epoch, kind, data)
  SELECT id, epoch, 'run.compensating', jsonb_build_object('because', ends_as, 'actions', cardinality($3::text[])) FROM u
)
INSERT INTO task (run_id, action_id, action_type, epoch, status, parent_id, position)
SELECT u.id, k.action_id, k.action_type, u.epoch, 'pending', '${SAGA}', k.n - 1
FROM u, unnest($3::text[], $4::text[]) WITH ORDINALITY AS k(action_id, action_type, n) ORDER BY k.action_id
ON CONFLICT (run_id, action_id) DO NOTHING`;

const END = `
WITH undoings AS (
  SELECT bool_and(final) AS over, bool_or(status <> 'completed') AS failed FROM task WHERE run_id = $1 AND parent_id = '${SAGA}'
), f AS (
  UPDATE run r SET final = true, output = NULL, finished_at = now(), started_at = coalesce(r.started_at, now()),
    status = CASE WHEN u.failed THEN 'compensation_failed' ELSE 'compensated' END,
    callback_due_at = CASE WHEN r.callback_url IS NOT NULL THEN now() END
  FROM undoings u WHERE r.id = $1 AND r.epoch = $2 AND NOT r.final AND r.status = 'compensating' AND u.over
  RETURNING r.id, r.epoch, r.status
), e AS (
  INSERT INTO event (run_id, epoch, kind) SELECT id, epoch, 'run.' || status FROM f
)
SELECT count(pg_notify('run_final', id)) FROM f`;

const REOPEN = `
UPDATE run r SET epoch = epoch + 1, gen = 0, status = 'compensating', final = false, finished_at = NULL, callback_due_at = NULL,
  callback_attempts = 0, check_at = now()
WHERE id = $1 AND epoch = $2 AND final AND status = 'compensation_failed'
RETURNING ${RUN_COLUMNS}`;

const REOPEN_UNDOINGS = `
WITH open AS MATERIALIZED (
  SELECT action_id, status FROM task WHERE run_id = $1 AND parent_id = '${SAGA}' AND status <> 'completed'
  ORDER BY action_id FOR UPDATE
), told AS (
  INSERT INTO event (run_id, action_id, epoch, kind) SELECT $1, action_id, $2, 'task.retried' FROM open WHERE status = 'failed'
)
UPDATE task t SET epoch = $2, attempt = 0, ended_attempt = 0, fence = 1, deliveries = 1, next_delivery = NULL, status = 'pending',
  final = false, tolerated = false, input = NULL, output = NULL, error = NULL, commit_id = NULL, worker = NULL, wake_at = NULL,
  wakes = 0, wakes_seen = 0, released_at = NULL, discarded_at = NULL, started_at = NULL, finished_at = NULL, updated_at = now()
FROM open WHERE t.run_id = $1 AND t.action_id = open.action_id`;

const RETRIED = `
INSERT INTO event (run_id, epoch, kind, data)
VALUES ($1, $2, 'run.retried', jsonb_strip_nulls(jsonb_build_object('by', $3::text, 'reopened', $4::int, 'reason', $5::text)))`;

export function createSagaStore(pool: pg.Pool): SagaStore {
  return {
    async begin({ id, epoch }, undoings) {
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
        const { rowCount } = await client.query(REOPEN_UNDOINGS, [id, raw.epoch]);
        await client.query(RETRIED, [id, raw.epoch, by, rowCount ?? 0, reason ?? null]);
        return { run: toRunRow(raw), undoings: rowCount ?? 0 };
      }),
    async end({ id, epoch }) {
      await pool.query({ name: 'end-saga', text: END, values: [id, epoch] });
    },
  };
}
