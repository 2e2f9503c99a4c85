/** Runs that tasks of other runs have started. Their identity is the attempt that started them, so no attempt starts two. */
import type pg from 'pg';
import type { Lineage } from '../../domain/definition/sub-workflows.ts';
import { RUNS_UNDER_WAY, type RunStatus } from '../../domain/runs/run-states.ts';
import type { ChildRun, ChildStore } from '../../engine/ports/children.ts';
import type { StoredRun } from '../../engine/ports/runs.ts';
import type { Json, JsonObject } from '../../schemas/json.ts';
import { insertedFields, NEW_RUNS, newRunValues, RUN_FIELDS } from '../accept/accept-runs.ts';
import { sqlList } from '../core/states.ts';
import { persist } from '../core/transient.ts';
import { type RawRun, RUN_COLUMNS, toRunRow } from './run-row.ts';

/** What one that compensates does is no work that others wait for. */
const COUNTED = RUNS_UNDER_WAY.filter((status) => status !== 'compensating');
const IN_QUEUE = `NOT final AND (status IN ${sqlList(COUNTED)} OR status = 'waiting' AND asleep IS NULL)`;
/** More than MAX_RUN_DEPTH can be. */
const DEPTHS = 100;

// Whoever cancels or ends the parent waits for the lock, and what was inserted is there for them to see; or it is the other
// way round, and nothing is inserted. Whoever pauses it likewise: what is inserted after that is paused with it.
const INSERT = `
WITH parent AS MATERIALIZED (
  SELECT id, CASE WHEN status = 'paused' AND $26::bool THEN true END AS holds FROM run WHERE id = $22 AND epoch = $23 AND NOT final AND status <> 'cancelling' FOR SHARE
), i AS (
  INSERT INTO run (${RUN_FIELDS}, parent_run_id, parent_epoch, parent_action_id, parent_attempt, awaited, depth, paused_with_parent)
  SELECT ${insertedFields(`CASE WHEN p.holds THEN 'paused' ELSE 'pending' END`)}, p.id, $23::int, $24::text, $25::int, $26::bool, $27::int, p.holds
  FROM ${NEW_RUNS} CROSS JOIN parent p
  ON CONFLICT (parent_run_id, parent_action_id, parent_epoch, parent_attempt) WHERE parent_run_id IS NOT NULL DO NOTHING
  RETURNING id, created_at, status
), e AS (
  INSERT INTO event (run_id, epoch, kind, data)
  SELECT i.id, 1, 'run.paused', coalesce((
      SELECT data FROM event WHERE run_id = p.id AND kind = 'run.paused' ORDER BY id DESC LIMIT 1
    ), '{}') || jsonb_build_object('with', p.id)
  FROM i CROSS JOIN parent p WHERE p.holds
)
SELECT p.id AS parent, i.id, i.created_at, i.status FROM parent p LEFT JOIN i ON true`;

const FIND = `
SELECT r.id, r.status, r.final, r.parent_epoch, r.parent_attempt, r.awaited, r.created_at, r.workflow_id, r.workflow_version,
       r.tenant_id, r.parameters, r.output, r.error,
       EXISTS (SELECT 1 FROM attempt a WHERE a.run_id = $1 AND a.action_id = $2 AND a.epoch = r.parent_epoch
                 AND a.attempt = r.parent_attempt AND a.status = 'completed') AS was_taken
FROM run r WHERE r.parent_run_id = $1 AND r.parent_action_id = $2
ORDER BY r.parent_epoch DESC, r.parent_attempt DESC LIMIT 1`;

const LINEAGE = `
WITH RECURSIVE up AS (
  SELECT id, workflow_id, parent_run_id, coalesce(depth, 0) AS depth, 1 AS height FROM run WHERE id = $1
  UNION ALL
  SELECT p.id, p.workflow_id, p.parent_run_id, coalesce(p.depth, 0), up.height + 1
  FROM up JOIN run p ON p.id = up.parent_run_id WHERE up.height < $2
)
SELECT id AS "runId", workflow_id AS "workflowId", depth FROM up ORDER BY height`;

const ADOPT = `
UPDATE run c SET parent_epoch = $3, parent_attempt = $4
FROM run p WHERE c.id = $1 AND p.id = $2 AND p.epoch = $3 AND c.parent_run_id = p.id`;

const OPEN_OF = `
SELECT id FROM run WHERE parent_run_id = $1 AND awaited AND NOT final AND parent_action_id = coalesce($2, parent_action_id)
ORDER BY id`;

const PARENT_OF = `
SELECT p.id AS "runId", p.epoch, c.parent_action_id AS "actionId"
FROM run c JOIN run p ON p.id = c.parent_run_id WHERE c.id = $1 AND c.awaited AND NOT p.final`;

const TASKS_OF_ENDED = `
SELECT t.action_id FROM task t
WHERE t.run_id = $1 AND t.status = 'waiting'
  AND EXISTS (SELECT 1 FROM run c WHERE c.parent_run_id = $1 AND c.parent_action_id = t.action_id AND c.awaited)
  AND NOT EXISTS (SELECT 1 FROM run c WHERE c.parent_run_id = $1 AND c.parent_action_id = t.action_id AND c.awaited AND NOT c.final)`;

// Every depth has a window of its own: see docs/decisions for why that cannot stand still. In each a place goes to the
// tenant that has the fewest runs there, by its weight, with those that it gets before: however many of one wait, another's
// is behind as many of them as its own place in its tenant's row.
const TAKE_PENDING = `
WITH level AS MATERIALIZED (
  SELECT d, $1::int - (SELECT count(*) FROM (SELECT 1 FROM run WHERE depth = d AND ${IN_QUEUE} LIMIT $1::int) AS live)::int AS room
  FROM generate_series(1, ${DEPTHS}) AS d
  WHERE EXISTS (SELECT 1 FROM run WHERE depth = d AND NOT final AND status = 'pending')
), held AS (
  SELECT l.d, q.tenant_id, count(*) AS runs
  FROM level l CROSS JOIN LATERAL (SELECT tenant_id FROM run WHERE depth = l.d AND ${IN_QUEUE} LIMIT $1::int) q
  WHERE l.room > 0 GROUP BY l.d, q.tenant_id
), waiting AS (
  SELECT l.d, l.room, c.id, c.tenant_id, c.priority, c.created_at,
         row_number() OVER (PARTITION BY l.d, c.tenant_id ORDER BY c.priority, c.created_at, c.id) AS place
  FROM level l JOIN run c ON c.depth = l.d
  WHERE l.room > 0 AND c.status = 'pending' AND NOT c.final AND c.waits_for_slot IS NULL
    AND coalesce(c.due_at, c.created_at + make_interval(secs => $3::float8 / 1000)) <= now()
), turns AS (
  SELECT w.id, w.room, row_number() OVER (
      PARTITION BY w.d ORDER BY (coalesce(h.runs, 0) + w.place) / coalesce(g.weight, 1), w.priority, w.created_at, w.id) AS turn
  FROM waiting w LEFT JOIN held h ON h.d = w.d AND h.tenant_id = w.tenant_id
  LEFT JOIN unnest($4::text[], $5::float8[]) AS g(tenant_id, weight) ON g.tenant_id = w.tenant_id
), due AS (
  SELECT id FROM run WHERE id = ANY (ARRAY(SELECT id FROM turns WHERE turn <= least(room, $2::int)))
    AND status = 'pending' AND NOT final FOR UPDATE SKIP LOCKED
)
UPDATE run r SET gen = r.gen + 1, left_queue = NULL, check_at = now() + interval '30 seconds' FROM due WHERE r.id = due.id
RETURNING ${RUN_COLUMNS}`;

interface RawChild {
  id: string;
  status: RunStatus;
  final: boolean;
  parent_epoch: number;
  parent_attempt: number;
  awaited: boolean;
  created_at: Date;
  workflow_id: string | null;
  workflow_version: number | null;
  parameters: JsonObject;
  output: Json;
  error: Json;
  was_taken: boolean;
}

/** `weights`: of tenants in turn, against 1 for all others. */
export function createChildStore(pool: pg.Pool, weights: ReadonlyMap<string, number> = new Map()): ChildStore {
  async function ask<Row extends pg.QueryResultRow>(name: string, text: string, values: unknown[]): Promise<Row[]> {
    return (await persist(() => pool.query<Row>({ name, text, values }))).rows;
  }
  const findRaw = async (runId: string, actionId: string) =>
    (await ask<RawChild>('find-child-run', FIND, [runId, actionId]))[0];

  return {
    async find({ runId, actionId }) {
      const raw = await findRaw(runId, actionId);
      return raw === undefined ? undefined : toChildRun(raw);
    },
    lineage: (runId, limit) => ask<Lineage[number]>('lineage-of-run', LINEAGE, [runId, limit]),
    async insert(run, { runId, epoch, actionId, attempt, awaited, depth }): Promise<StoredRun | undefined> {
      const [row] = await ask<{ id: string | null; created_at: Date | null; status: RunStatus | null }>(
        'insert-child-run',
        INSERT,
        [...newRunValues([run]), ...[runId, epoch, actionId, attempt, awaited, depth]],
      );
      if (row === undefined) return undefined;
      const status = row.status ?? 'pending';
      const common = { status, requestHash: run.requestHash ?? null, of: run.of };
      if (row.id !== null && row.created_at !== null)
        return {
          ...common,
          id: row.id,
          createdAt: row.created_at,
          inserted: true,
          // The dispatcher gives it a place, or adds it after the resume.
          ...(run.concurrency === undefined && status === 'pending' ? {} : { waits: true as const }),
        };
      const twin = await findRaw(runId, actionId);
      if (twin === undefined) throw new Error(`the child run of ${runId} ${actionId} was neither inserted nor found`);
      return { ...common, id: twin.id, createdAt: twin.created_at, inserted: false };
    },
    async adopt(childId, { runId, epoch, attempt }) {
      await ask('adopt-child-run', ADOPT, [childId, runId, epoch, attempt]);
    },
    async openOf(runId, actionId) {
      const rows = await ask<{ id: string }>('open-child-runs', OPEN_OF, [runId, actionId ?? null]);
      return rows.map(({ id }) => id);
    },
    async parentOf(runId) {
      return (await ask<{ runId: string; epoch: number; actionId: string }>('parent-of-run', PARENT_OF, [runId]))[0];
    },
    async tasksOfEnded(runId) {
      const rows = await ask<{ action_id: string }>('tasks-of-ended-child-runs', TASKS_OF_ENDED, [runId]);
      return rows.map(({ action_id }) => action_id);
    },
    async takePending(window, limit, olderThanMs) {
      const { rows } = await pool.query<RawRun>({
        name: 'take-pending-child-runs',
        text: TAKE_PENDING,
        values: [window, limit, olderThanMs, [...weights.keys()], [...weights.values()]],
      });
      return rows.map(toRunRow);
    },
    async countAtDepth(depth, limit) {
      const { rows } = await pool.query<{ count: number }>({
        name: 'count-child-runs-in-queue',
        text: `SELECT count(*)::int AS count FROM (SELECT 1 FROM run WHERE depth = $1 AND ${IN_QUEUE} LIMIT $2) AS live`,
        values: [depth, limit],
      });
      return rows[0]?.count ?? 0;
    },
  };
}

function toChildRun(raw: RawChild): ChildRun {
  return {
    id: raw.id,
    status: raw.status,
    final: raw.final,
    epoch: raw.parent_epoch,
    attempt: raw.parent_attempt,
    awaited: raw.awaited,
    wasTaken: raw.was_taken,
    workflowId: raw.workflow_id,
    version: raw.workflow_version,
    parameters: raw.parameters,
    output: raw.output,
    error: raw.error,
  };
}
