/** The invariants that PostgreSQL alone can check, written from the guarantees and not from the engine. */
import type pg from 'pg';
import { MAX_DELIVERIES } from '../domain/runs/deliveries.ts';
import { waitsForSlot } from '../store/accept/concurrency.ts';
import { notBarredFrom } from '../store/core/states.ts';
import { type Finding, IDS_SHOWN, ok } from './finding.ts';

interface Rule {
  check: string;
  invariant?: string;
  /** The sentence that should be true. */
  rule: string;
  /** Gives `id` of each violation. `$1`: how many days back history is read. */
  sql: string;
  whatToDo: string;
  status?: 'warning';
  repairable?: true;
}

const TASK_ENDS = `('task.completed', 'task.failed', 'task.skipped', 'task.cancelled', 'task.upstream_failed')`;
const RUN_ENDS = `('run.completed', 'run.failed', 'run.cancelled', 'run.timed_out', 'run.compensated', 'run.compensation_failed')`;
const RECENT = (column: string) => `${column} > now() - make_interval(days => $1::int)`;
const REPORT = 'Nothing repairs that by itself. Keep the database as it is, and report it with these ids.';
const BY_SWEEP = 'A worker that is alive does it within seconds; --repair does it now.';

const RULES: readonly Rule[] = [
  {
    check: 'one_end_per_task',
    invariant: 'I2',
    rule: 'no task has ended twice in one epoch',
    sql: `SELECT run_id || '/' || action_id AS id FROM event WHERE kind IN ${TASK_ENDS} AND ${RECENT('at')}
          GROUP BY run_id, action_id, epoch HAVING count(*) > 1
          UNION SELECT run_id || '/' || action_id FROM attempt WHERE status = 'completed' AND ${RECENT('finished_at')}
          GROUP BY run_id, action_id, epoch HAVING count(*) > 1`,
    whatToDo: REPORT,
  },
  {
    check: 'one_end_per_run',
    invariant: 'I2',
    rule: 'no run has ended twice in one epoch',
    sql: `SELECT run_id AS id FROM event WHERE kind IN ${RUN_ENDS} AND ${RECENT('at')} GROUP BY run_id, epoch HAVING count(*) > 1`,
    whatToDo: REPORT,
  },
  {
    check: 'ended_runs_have_no_open_tasks',
    invariant: 'I4',
    rule: 'a run that has ended has no task that has not',
    sql: `SELECT t.run_id || '/' || t.action_id AS id FROM run r JOIN task t ON t.run_id = r.id AND NOT t.final
          WHERE r.final AND ${RECENT('r.finished_at')}`,
    whatToDo: REPORT,
  },
  {
    check: 'ended_runs_are_complete',
    invariant: 'I4',
    rule: 'a run that has ended has a row for every action',
    sql: `SELECT r.id || '/' || (a.value->>'action_id') AS id FROM run r
          JOIN workflow_version v ON v.workflow_id = r.workflow_id AND v.version = r.workflow_version
          CROSS JOIN LATERAL jsonb_array_elements(v.definition->'actions') a
          WHERE r.final AND ${RECENT('r.finished_at')}
            AND NOT EXISTS (SELECT 1 FROM task t WHERE t.run_id = r.id AND t.action_id = a.value->>'action_id')`,
    whatToDo: REPORT,
  },
  {
    check: 'events_without_gaps',
    invariant: 'I8',
    rule: 'the events of a run are numbered from 1 without gaps',
    sql: `SELECT run_id AS id FROM event WHERE seq IS NOT NULL AND ${RECENT('at')}
          GROUP BY run_id HAVING max(seq) - min(seq) + 1 <> count(seq) OR count(DISTINCT seq) <> count(seq)`,
    whatToDo: REPORT,
  },
  {
    check: 'attempts_within_policy',
    invariant: 'I10',
    rule: 'no task has more attempts or deliveries than it may',
    sql: `SELECT t.run_id || '/' || t.action_id AS id FROM run r
          JOIN workflow_version v ON v.workflow_id = r.workflow_id AND v.version = r.workflow_version
          CROSS JOIN LATERAL jsonb_array_elements(v.definition->'actions') a
          JOIN attempt t ON t.run_id = r.id AND t.action_id = a.value->>'action_id'
          WHERE t.attempt > (a.value#>>'{retry,max_attempts}')::int AND ${RECENT('t.finished_at')}
          UNION SELECT run_id || '/' || action_id FROM task WHERE deliveries > ${MAX_DELIVERIES + 1} AND ${RECENT('updated_at')}`,
    whatToDo: REPORT,
  },
  {
    check: 'deadlines_are_kept',
    rule: 'no run goes on beyond its deadline',
    sql: `SELECT id FROM run WHERE deadline_at < now() - interval '30 seconds' AND NOT final AND ${notBarredFrom('cancel')}
          AND $1::int > 0`,
    whatToDo: BY_SWEEP,
    repairable: true,
  },
  {
    check: 'sleepers_are_woken',
    rule: 'no task sleeps on although it was woken, or is due',
    sql: `SELECT t.run_id || '/' || t.action_id AS id FROM run r JOIN task t ON t.run_id = r.id
          WHERE NOT r.final AND r.status IN ('queued', 'running', 'waiting') AND t.status = 'waiting' AND NOT t.final AND $1::int > 0
            AND t.updated_at < now() - interval '30 seconds'
            AND (t.wakes > t.wakes_seen AND t.wakes_seen >= 0 OR t.wake_at < now() - interval '60 seconds')`,
    whatToDo: BY_SWEEP,
    repairable: true,
  },
  {
    check: 'places_are_given',
    rule: 'no run waits for a place in its concurrency group while one is free',
    sql: `SELECT w.id FROM run w WHERE ${waitsForSlot('w.')} AND $1::int > 0
            AND w.created_at < now() - interval '30 seconds'
            AND (SELECT count(*) FROM run h WHERE h.tenant_id = w.tenant_id AND h.workflow_id = w.workflow_id
                 AND h.concurrency_key = w.concurrency_key AND h.waits_for_slot IS NULL AND NOT h.final) < w.concurrency_limit`,
    whatToDo: BY_SWEEP,
    repairable: true,
  },
  {
    check: 'schedules_are_kept',
    rule: 'no schedule is overdue by more than a minute',
    sql: `SELECT id FROM schedule WHERE due_at < now() - interval '60 seconds' AND NOT paused AND $1::int > 0`,
    whatToDo: 'Start a worker: it catches up, within the catch-up window of each schedule.',
    status: 'warning',
  },
  {
    check: 'external_tasks_are_ended',
    rule: 'no task outside goes on beyond its deadline',
    sql: `SELECT e.id FROM external_task e JOIN run r ON r.id = e.run_id AND NOT r.final AND r.epoch = e.epoch AND r.status <> 'paused'
          WHERE e.status IN ('available', 'leased') AND (NOT e.by_message OR e.published_at IS NOT NULL)
            AND e.deadline_at < now() - interval '60 seconds' AND $1::int > 0`,
    whatToDo: 'Start a worker that serves the lane external: it ends these attempts.',
    status: 'warning',
  },
];

/** Each invariant is a query of its own, so that one that fails does not affect the others. */
export async function checkTables(pool: pg.Pool, days: number): Promise<Array<Finding>> {
  const findings: Finding[] = [];
  for (const { check, invariant, rule, sql, whatToDo, status = 'problem', repairable } of RULES) {
    const { rows } = await pool.query<{ id: string; total: string }>(
      `SELECT id, count(*) OVER () AS total FROM (${sql}) AS violations LIMIT ${IDS_SHOWN}`,
      [days],
    );
    const named = invariant === undefined ? {} : { invariant };
    if (rows.length === 0) {
      findings.push({ ...ok(check, rule), ...named });
      continue;
    }
    const total = Number(rows[0]?.total ?? 0);
    const message = `not true that ${rule}: ${total} times`;
    const ids = rows.map(({ id }) => id);
    findings.push({ check, status, message, whatToDo, ids, total, ...named, ...(repairable ? { repairable } : {}) });
  }
  return findings;
}
