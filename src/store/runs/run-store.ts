/** The run side of the truth: acceptance, cancellation, and the ends that no single commit brings about. */
import type pg from 'pg';
import type { RunStatus } from '../../domain/runs/run-states.ts';
import type { Lookup } from '../../engine/ports/rows.ts';
import type { NewRun, RunStore, StoredRun } from '../../engine/ports/runs.ts';
import type { CleanGatesDeps } from '../../engine/recover/clean-gates.ts';
import type { Json } from '../../schemas/json.ts';
import { acceptDeduplicated, type DeduplicatedRun, isDeduplicated } from '../accept/accept-deduplicated.ts';
import { acceptRuns } from '../accept/accept-runs.ts';
import { acceptInGroups, type GroupedRun, isGrouped } from '../accept/concurrency.ts';
import { IN_WINDOW, windowUse } from '../accept/window.ts';
import { createBatcher, measured, type OnWrite } from '../core/batch.ts';
import { BY_KEY_ALONE, EACH } from '../core/by-key.ts';
import { inTransaction } from '../core/in-transaction.ts';
import { survivingLostReplies } from '../core/lost-replies.ts';
import { mayMove, notBarredFrom } from '../core/states.ts';
import { isDataFault, isTransient } from '../core/transient.ts';
import { payload, SEALED_KEY } from '../payloads/payloads.ts';
import { DUE_IF_ASLEEP } from '../recover/sleeping-runs.ts';
import { type RawTask, TASK_COLUMNS, toTaskRow } from '../tasks/lookup.ts';
import { CANCELLED_AS, CANCELLED_ERROR, FIRST_FAILURE } from './cancelled-runs.ts';
import { definitionRef, type RawRun, RUN_COLUMNS, toRunRow } from './run-row.ts';

const RUNS_PER_STATEMENT = 200;
const RUNS_MARKED_PER_STATEMENT = 5_000;

const FINALIZE = `
WITH states AS (
  SELECT count(*) FILTER (WHERE final AND parent_id IS NULL) AS final_ones FROM task WHERE run_id = $1
), failure AS (
  ${FIRST_FAILURE}
), f AS (
  UPDATE run r SET final = true,
    status = CASE WHEN r.status = 'cancelling' THEN ${CANCELLED_AS} WHEN EXISTS (SELECT 1 FROM failure) THEN 'failed' ELSE 'completed' END,
    output = CASE WHEN r.status <> 'cancelling' AND NOT EXISTS (SELECT 1 FROM failure) THEN $4::jsonb END,
    error = CASE WHEN r.status = 'cancelling' THEN ${CANCELLED_ERROR} ELSE (SELECT error FROM failure) END,
    started_at = coalesce(r.started_at, (SELECT min(started_at) FROM task WHERE run_id = $1), now()), finished_at = now()
  WHERE r.id = $1 AND r.epoch = $2 AND (NOT r.final) ${BY_KEY_ALONE} AND (SELECT final_ones FROM states) >= $3
  RETURNING r.id, r.epoch, r.status
), e AS (
  INSERT INTO event (run_id, epoch, kind) SELECT id, epoch, 'run.' || status FROM f
)
SELECT (SELECT final_ones FROM states) AS final_ones, (SELECT count(pg_notify('run_final', f.id)) FROM f) AS ended`;

const END_RUN = `
UPDATE run r SET final = true, finished_at = now(), started_at = coalesce(started_at, now()),
  status = CASE WHEN $3::text = 'cancelled' THEN ${CANCELLED_AS} ELSE $3::text END,
  error = CASE WHEN $3::text = 'cancelled' THEN ${CANCELLED_ERROR} ELSE error END
WHERE id = $1 AND epoch = $2 AND (NOT final) ${BY_KEY_ALONE} RETURNING status`;
// A final row for every action, those never started included: then no commit has to read the state of the run. They come
// before the run itself, because a commit too locks tasks first.
const TOMBSTONES = `
INSERT INTO task AS t (run_id, action_id, action_type, epoch, status, final, finished_at)
SELECT r.id, k.action_id, k.action_type, r.epoch, $3, true, now()
FROM run r, unnest($4::text[], $5::text[]) AS k(action_id, action_type)
WHERE r.id = $1 AND r.epoch = $2 AND NOT r.final ORDER BY k.action_id
ON CONFLICT (run_id, action_id) DO UPDATE SET status = $3, final = true, finished_at = now(), updated_at = now() WHERE NOT t.final`;
/** Parts that are written down are not actions of the definition, and no commit of theirs may come later either. */
const END_PARTS = `
UPDATE task t SET status = 'cancelled', final = true, tolerated = true, finished_at = now(), updated_at = now()
FROM (SELECT p.run_id, p.action_id FROM task p JOIN run r ON r.id = p.run_id AND r.epoch = $2 AND NOT r.final
      WHERE p.run_id = $1 AND p.parent_id IS NOT NULL AND NOT p.final ORDER BY p.action_id FOR UPDATE OF p) AS open
WHERE t.run_id = open.run_id AND t.action_id = open.action_id AND NOT t.final`;

const REQUEST_CANCEL = `
WITH before AS (
  SELECT r.id, r.status, r.epoch, r.workflow_id, r.workflow_version, r.inline, r.final
  FROM run r WHERE r.id = $2 AND r.tenant_id = $1 FOR UPDATE
), u AS (
  UPDATE run r SET status = 'cancelling', cancel_reason = $3, check_at = now()
  FROM before b WHERE r.id = b.id AND NOT b.final AND ${notBarredFrom('cancel', 'b.status')}
  RETURNING r.id, r.epoch
), e AS (
  INSERT INTO event (run_id, epoch, kind, data)
  SELECT id, epoch, 'run.cancelling', jsonb_build_object('by', $4::text, 'reason', $3::text) FROM u
)
SELECT b.*, (SELECT count(pg_notify('run_control', u.id)) FROM u) AS changed FROM before b`;

export interface RunStoreOptions {
  /** Most runs end before that, and what has ended need not be marked. Less than the dispatcher's patience. */
  markQueuedAfterMs?: number;
  /** Of what was accepted together. */
  onWrite?: OnWrite;
  /** For what counts the runs of all tenants, where `pool` may serve one of them. */
  everyTenant?: pg.Pool;
}

export function createRunStore(
  pool: pg.Pool,
  { markQueuedAfterMs, onWrite, everyTenant = pool }: RunStoreOptions = {},
): RunStore & CleanGatesDeps['runs'] & { drain(): Promise<void> } {
  const acceptance = {
    maxItems: RUNS_PER_STATEMENT,
    partyOf: ({ tenantId }: NewRun) => tenantId,
    isDataFault,
    // A client waits: one quick second try for a deadlock or a connection that was just closed, then 503.
    retryAfter: (error: unknown, tries: number) => (isTransient(error) && tries === 1 ? 50 : undefined),
  };
  const accept = createBatcher<NewRun, StoredRun>({
    ...acceptance,
    flush: survivingLostReplies(
      pool,
      measured('runs', onWrite, (runs) => acceptRuns(pool, runs)),
    ),
  });
  const acceptOnce = createBatcher<DeduplicatedRun, StoredRun>({
    ...acceptance,
    flush: survivingLostReplies(
      pool,
      measured('runs', onWrite, (runs) => acceptDeduplicated(pool, runs)),
    ),
  });
  const acceptGrouped = createBatcher<GroupedRun, StoredRun>({
    ...acceptance,
    flush: survivingLostReplies(
      pool,
      measured('runs', onWrite, (runs) => acceptInGroups(pool, runs)),
    ),
  });
  const markQueued = createBatcher<{ runId: string; epoch: number }, void>({
    maxItems: RUNS_MARKED_PER_STATEMENT,
    ...(markQueuedAfterMs === undefined ? {} : { lingerMs: markQueuedAfterMs }),
    async flush(added) {
      await pool.query({
        name: 'mark-queued',
        text: markQueuedText(),
        values: [added.map(({ runId }) => runId), added.map(({ epoch }) => epoch)],
      });
      return added.map(() => undefined);
    },
  });

  return {
    accept(run) {
      if (isGrouped(run)) return acceptGrouped(run);
      return isDeduplicated(run) ? acceptOnce(run) : accept(run);
    },
    markQueued: (runId, epoch = 1) => markQueued({ runId, epoch }),
    async markQueuedAhead(runIds) {
      await pool.query({
        name: 'mark-queued-ahead',
        text: markQueuedText(", check_at = now() + interval '30 seconds'"),
        values: [runIds, runIds.map(() => 1)],
      });
    },
    drain: () => markQueued.drain(),
    async countInQueue(limit) {
      const { rows } = await everyTenant.query<{ count: number }>({
        name: 'count-in-queue',
        text: `SELECT count(*)::int AS count FROM (${IN_WINDOW('1', '$1')}) AS live`,
        values: [limit],
      });
      return rows[0]?.count ?? 0;
    },
    windowUse: (look) => windowUse(everyTenant, look),
    async finalize({ runId, tenantId, epoch, actions, output }) {
      const { rows } = await pool.query<{ final_ones: string }>({
        name: 'finalize-run',
        text: FINALIZE,
        values: [runId, epoch, actions, payload(output, tenantId)],
      });
      return Number(rows[0]?.final_ones ?? 0) >= actions;
    },
    async endAbnormally(runId, epoch, status, actions) {
      return inTransaction(pool, async (client) => {
        const taskStatus = status === 'cancelled' ? 'cancelled' : 'failed';
        const ids = actions.map(({ actionId }) => actionId);
        const types = actions.map(({ actionType }) => actionType);
        await client.query(TOMBSTONES, [runId, epoch, taskStatus, ids, types]);
        await client.query(END_PARTS, [runId, epoch]);
        const { rows } = await client.query<{ status: RunStatus }>(END_RUN, [runId, epoch, status]);
        const ended = rows[0]?.status;
        if (ended === undefined) return false;
        await client.query(`INSERT INTO event (run_id, epoch, kind) VALUES ($1, $2, $3)`, [
          runId,
          epoch,
          `run.${ended}`,
        ]);
        await client.query(`SELECT pg_notify('run_final', $1)`, [runId]);
        return true;
      });
    },
    async requestCancel(tenantId, runId, reason, by) {
      const { rows } = await pool.query<RawRun & { changed: string }>(REQUEST_CANCEL, [
        tenantId,
        runId,
        reason ?? null,
        by ?? null,
      ]);
      const row = rows[0];
      if (row === undefined) return { found: false };
      return { found: true, was: row.status, changed: row.changed !== '0', epoch: row.epoch, of: definitionRef(row) };
    },
    async ended(runIds) {
      const { rows } = await pool.query<{ id: string }>('SELECT id FROM run WHERE id = ANY($1::text[]) AND NOT final', [
        runIds,
      ]);
      const live = new Set(rows.map(({ id }) => id));
      return new Set(runIds.filter((id) => !live.has(id)));
    },
    statuses: async (runId) => (await statusesOf(pool, [runId])).get(runId) ?? { run: undefined, tasks: new Map() },
    statusesOf: (runIds) => statusesOf(pool, runIds),
    async startedAmong(runIds) {
      if (runIds.length === 0) return new Set();
      const { rows } = await pool.query<{ id: string }>({
        name: 'started-among',
        text: `SELECT k.id FROM unnest($1::text[]) AS k(id) WHERE EXISTS (SELECT 1 FROM task t WHERE t.run_id = k.id ${EACH})`,
        values: [runIds],
      });
      return new Set(rows.map(({ id }) => id));
    },
    async outputs(runId, actionIds) {
      const { rows } = await pool.query<{ action_id: string; output: Json }>(
        `SELECT action_id, output, CASE WHEN output ? '${SEALED_KEY}' THEN (SELECT tenant_id FROM run WHERE id = $1) END AS tenant_id
         FROM task WHERE run_id = $1 AND action_id = ANY($2::text[])`,
        [runId, actionIds],
      );
      return new Map(rows.map((row) => [row.action_id, row.output]));
    },
    async checkNow(runId) {
      await pool.query(
        `UPDATE run SET check_at = now(), ${DUE_IF_ASLEEP}
         WHERE id = $1 AND NOT final`,
        [runId],
      );
    },
  };
}

// A run that somebody has locked is starting or ending by now. The mark may come late: a run that has been reopened in the
// meantime is not in the queue yet.
// From key to row, and an array: as joins each of the keys may be compared with each of the runs that wait.
const markQueuedText = (andSet = ''): string => `
UPDATE run r SET status = 'queued'${andSet} WHERE r.id = ANY (ARRAY(
  SELECT pending.id FROM unnest($1::text[], $2::int[]) AS k(id, epoch) CROSS JOIN LATERAL (
    SELECT run.id FROM run WHERE run.id = k.id AND run.epoch = k.epoch AND (${mayMove('queue', 'run.status')} AND NOT run.final) ${BY_KEY_ALONE}
    FOR NO KEY UPDATE SKIP LOCKED) AS pending))`;

async function statusesOf(pool: pg.Pool, runIds: readonly string[]): Promise<Map<string, Lookup>> {
  const runs = await pool.query<RawRun>({
    name: 'runs-of',
    text: `SELECT ${RUN_COLUMNS} FROM run r WHERE r.id = ANY ($1::text[])`,
    values: [runIds],
  });
  const tasks = await pool.query<RawTask>({
    name: 'tasks-of-runs',
    text: `SELECT ${TASK_COLUMNS}, t.started_at IS NOT NULL AS started, NULL::jsonb AS output FROM task t WHERE t.run_id = ANY ($1::text[])`,
    values: [runIds],
  });
  const byRun = new Map<string, RawTask[]>();
  for (const task of tasks.rows) {
    const own = byRun.get(task.run_id) ?? [];
    own.push(task);
    byRun.set(task.run_id, own);
  }
  return new Map(
    runs.rows.map((raw) => {
      const own = (byRun.get(raw.id) ?? []).map((task) => [task.action_id, toTaskRow(task)] as const);
      return [raw.id, { run: toRunRow(raw), tasks: new Map(own) }];
    }),
  );
}
