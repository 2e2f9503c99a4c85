/**
 * What must hold of the tables alone, as queries that give one row per violation. They are written from the promises, not
 * from the engine, and use nothing of it. The names I1 to I10 are those of docs/testing.md.
 */
import type pg from 'pg';

export type Invariant = 'I1' | 'I2' | 'I3' | 'I4' | 'I5' | 'I6' | 'I7' | 'I8' | 'I9' | 'I10';

export interface Violation {
  invariant: Invariant;
  /** The sentence that is not true. */
  rule: string;
  rows: object[];
}

export interface Rule {
  invariant: Invariant;
  rule: string;
  sql: string;
}

/** The actions of every run of a workflow. */
export const ACTIONS = `
  SELECT r.id AS run_id, a.value->>'action_id' AS action_id, a.value->'depends_on' AS depends_on,
         (a.value#>>'{retry,max_attempts}')::int AS max_attempts
  FROM run r JOIN workflow_version v ON v.workflow_id = r.workflow_id AND v.version = r.workflow_version,
       jsonb_array_elements(v.definition->'actions') a`;

/** What the actions of every run wait for. Looked up once: as a part of a join it would be for each task anew. */
const EDGES = `edge AS MATERIALIZED (
  SELECT a.run_id, a.action_id, named.id AS dependency
  FROM (${ACTIONS}) a CROSS JOIN LATERAL jsonb_array_elements_text(a.depends_on) AS named(id))`;

const TASK_ENDS = `('task.completed', 'task.failed', 'task.skipped', 'task.cancelled', 'task.upstream_failed')`;
const FINAL_TASKS = `('completed', 'failed', 'skipped', 'cancelled', 'upstream_failed')`;
const FINAL_RUNS = `('completed', 'failed', 'cancelled', 'timed_out', 'compensated', 'compensation_failed')`;
const RUN_ENDS = `('run.completed', 'run.failed', 'run.cancelled')`;
/** Of the engine: after so many deliveries without an outcome a task is taken to be what kills its workers. */
const MAX_DELIVERIES = 11;

export const RULES: readonly Rule[] = [
  {
    invariant: 'I2',
    rule: 'at most one attempt of a task completes in an epoch, and it is told once',
    sql: `SELECT run_id, action_id, epoch, count(*)::int FROM attempt WHERE status = 'completed' GROUP BY 1, 2, 3 HAVING count(*) > 1
          UNION ALL
          SELECT run_id, action_id, epoch, count(*)::int FROM event WHERE kind IN ${TASK_ENDS}
          GROUP BY 1, 2, 3 HAVING count(*) > 1`,
  },
  {
    invariant: 'I2',
    rule: 'a run ends once in an epoch',
    sql: `SELECT run_id, epoch, count(*)::int FROM event WHERE kind IN ${RUN_ENDS} GROUP BY 1, 2 HAVING count(*) > 1`,
  },
  {
    invariant: 'I2',
    rule: 'only what completed or was skipped keeps the epoch before a retry, and everything that it waits for with it',
    sql: `WITH ${EDGES}
          SELECT r.id, t.action_id, t.status FROM run r JOIN task t ON t.run_id = r.id
          WHERE t.epoch > r.epoch OR (t.epoch < r.epoch AND t.status NOT IN ('completed', 'skipped')
            -- A retry of a compensation reopens nothing but undoings.
            AND NOT EXISTS (SELECT 1 FROM task u WHERE u.run_id = r.id AND u.parent_id = '~saga'))
          UNION ALL
          SELECT e.run_id, e.action_id, d.status FROM edge e
          JOIN task t ON t.run_id = e.run_id AND t.action_id = e.action_id
          JOIN task d ON d.run_id = e.run_id AND d.action_id = e.dependency WHERE d.epoch > t.epoch`,
  },
  {
    invariant: 'I3',
    rule: 'no action starts before all of its dependencies are committed',
    sql: `WITH ${EDGES}
          SELECT t.run_id, t.action_id, d.action_id AS dependency, t.started_at, d.finished_at
          FROM edge e
          JOIN task own ON own.run_id = e.run_id AND own.action_id = e.action_id
          -- What a retry reopened has new dependencies too; attempts of older epochs were held against older ones.
          JOIN attempt t ON t.run_id = e.run_id AND t.action_id = e.action_id AND t.epoch = own.epoch
          JOIN task d ON d.run_id = e.run_id AND d.action_id = e.dependency
          WHERE d.finished_at IS NULL OR t.started_at < d.finished_at`,
  },
  {
    invariant: 'I4',
    rule: 'a row is final exactly when its status is, and only a completed task has an output',
    sql: `SELECT id AS run_id, NULL AS action_id, status, final FROM run WHERE final <> (status IN ${FINAL_RUNS})
          UNION ALL
          SELECT run_id, action_id, status, final FROM task
          WHERE final <> (status IN ${FINAL_TASKS}) OR (output IS NOT NULL AND status <> 'completed')`,
  },
  {
    invariant: 'I4',
    rule: 'a final run has a final row for every action',
    sql: `SELECT a.run_id, a.action_id FROM (${ACTIONS}) a JOIN run r ON r.id = a.run_id AND r.final
          LEFT JOIN task t ON t.run_id = a.run_id AND t.action_id = a.action_id WHERE t.final IS NOT TRUE
          UNION ALL
          SELECT r.id, '(its only one)' FROM run r WHERE r.final AND r.workflow_id IS NULL
            AND (SELECT count(*) FROM task t WHERE t.run_id = r.id AND t.final) <> 1`,
  },
  {
    invariant: 'I4',
    rule: 'a run ends as its tasks say, or as cancelled when that was asked for in this epoch, or as timed out after its deadline',
    sql: `SELECT r.id, r.status, s.failed, c.asked FROM run r
          CROSS JOIN LATERAL (SELECT coalesce(bool_or(t.status = 'failed' AND NOT t.tolerated), false) AS failed
                              FROM task t WHERE t.run_id = r.id) s
          CROSS JOIN LATERAL (SELECT count(*) > 0 AS asked FROM event e
                              WHERE e.run_id = r.id AND e.epoch = r.epoch AND e.kind = 'run.cancelling') c
          CROSS JOIN LATERAL (SELECT count(*) > 0 AS any, bool_or(t.status <> 'completed') AS failed
                              FROM task t WHERE t.run_id = r.id AND t.parent_id = '~saga') u
          WHERE r.final AND r.status <> CASE WHEN u.any THEN CASE WHEN u.failed THEN 'compensation_failed' ELSE 'compensated' END
            WHEN c.asked AND r.ends_as = 'timed_out' AND r.deadline_at <= r.finished_at THEN 'timed_out'
            WHEN c.asked THEN 'cancelled' WHEN s.failed THEN 'failed' ELSE 'completed' END`,
  },
  {
    invariant: 'I4',
    rule: 'the output of a run is made of the outputs of its last actions',
    sql: `WITH ${EDGES}, last AS MATERIALIZED (
            SELECT t.run_id, jsonb_object_agg(t.action_id, CASE WHEN t.status = 'completed' THEN t.output ELSE 'null'::jsonb END) AS output
            FROM task t WHERE t.parent_id IS NULL
              AND NOT EXISTS (SELECT 1 FROM edge e WHERE e.run_id = t.run_id AND e.dependency = t.action_id) GROUP BY 1)
          SELECT r.id, r.output, o.output AS of_its_actions FROM run r
          JOIN workflow_version v ON v.workflow_id = r.workflow_id AND v.version = r.workflow_version
          LEFT JOIN last o ON o.run_id = r.id
          WHERE r.final AND NOT v.definition ? 'output'
            -- What is encrypted can be compared by nobody but its readers.
            AND NOT coalesce(r.output ? '$enc', false)
            AND r.output IS DISTINCT FROM CASE WHEN r.status = 'completed' THEN o.output END`,
  },
  {
    invariant: 'I8',
    rule: 'attempts are numbered without gaps and end after they began',
    sql: `SELECT run_id, action_id, epoch, count(*)::int, max(attempt) FROM attempt GROUP BY 1, 2, 3
          HAVING max(attempt) <> count(*) OR bool_or(finished_at < started_at)`,
  },
  {
    invariant: 'I8',
    // A cancelled run ends what never began without a word about each of it.
    rule: 'the end of every task and of every run is told once',
    sql: `SELECT t.run_id, t.action_id, t.status, count(e.id)::int AS told FROM task t
          LEFT JOIN event e ON e.run_id = t.run_id AND e.action_id = t.action_id AND e.epoch = t.epoch AND e.kind = 'task.' || t.status
          WHERE t.final GROUP BY 1, 2, 3 HAVING count(e.id) > 1 OR (count(e.id) = 0 AND t.status <> 'cancelled')
          UNION ALL
          SELECT r.id, '(the run)', r.status, count(e.id)::int FROM run r
          LEFT JOIN event e ON e.run_id = r.id AND e.epoch = r.epoch AND e.kind = 'run.' || r.status
          WHERE r.final GROUP BY 1, 2, 3 HAVING count(e.id) <> 1`,
  },
  {
    invariant: 'I8',
    rule: 'the end of every attempt is told once, and none that did not happen',
    sql: `SELECT a.run_id, a.action_id, a.epoch, a.attempt, count(e.id)::int AS told FROM attempt a
          LEFT JOIN event e ON e.run_id = a.run_id AND e.action_id = a.action_id AND e.epoch = a.epoch AND e.attempt = a.attempt
            AND (e.kind = 'task.retrying' OR e.kind IN ${TASK_ENDS})
          GROUP BY 1, 2, 3, 4 HAVING count(e.id) <> 1
          UNION ALL
          SELECT e.run_id, e.action_id, e.epoch, e.attempt, 0 FROM event e
          LEFT JOIN attempt a ON a.run_id = e.run_id AND a.action_id = e.action_id AND a.epoch = e.epoch AND a.attempt = e.attempt
          WHERE e.kind = 'task.retrying' AND a.run_id IS NULL`,
  },
  {
    invariant: 'I8',
    rule: 'nothing is told of the tasks of a run after its end, and a retry only then',
    sql: `SELECT e.run_id, e.action_id, e.kind, e.epoch FROM event e
          JOIN event ended ON ended.run_id = e.run_id AND ended.kind IN ${RUN_ENDS}
          WHERE (e.epoch = ended.epoch AND e.id > ended.id AND e.kind IN ${TASK_ENDS})
             OR (e.epoch = ended.epoch + 1 AND e.id < ended.id)`,
  },
  {
    invariant: 'I9',
    rule: 'one idempotency key has one run',
    sql: `SELECT tenant_id, idempotency_key, count(*)::int FROM run WHERE idempotency_key IS NOT NULL
          GROUP BY 1, 2 HAVING count(*) > 1`,
  },
  {
    invariant: 'I10',
    rule: 'no task has more attempts than its policy allows, or more deliveries than any may have',
    sql: `SELECT t.run_id, t.action_id, t.epoch, t.attempt, a.max_attempts FROM (${ACTIONS}) a
          JOIN attempt t ON t.run_id = a.run_id AND t.action_id = a.action_id WHERE t.attempt > a.max_attempts
          UNION ALL
          SELECT run_id, action_id, epoch, deliveries, ${MAX_DELIVERIES} FROM task WHERE deliveries > ${MAX_DELIVERIES}`,
  },
];

export async function brokenRules(db: pg.Pool): Promise<Violation[]> {
  const found: Violation[] = [];
  for (const { invariant, rule, sql } of RULES) {
    const { rows } = await db.query<object>(sql);
    if (rows.length > 0) found.push({ invariant, rule, rows });
  }
  return found;
}

export function describeViolation({ invariant, rule, rows }: Violation): string {
  return `${invariant}: not true that ${rule}: ${show(rows)}`;
}

export function show(rows: readonly object[]): string {
  const shown = rows.slice(0, 5).map((row) => JSON.stringify(row));
  return `${shown.join(', ')}${rows.length > 5 ? ` and ${rows.length - 5} more` : ''}`;
}
