/** Reads runs that have ended, and their tasks. */
import type pg from 'pg';
import type { AttemptRecord, EndedRecord, EndedRun, EndedRunStore, TaskRecord } from './ports.ts';

/** Of one run. */
const MAX_TASKS = 2_000;

const RUNS = `
SELECT r.id, r.tenant_id, r.trace_id, coalesce(w.name, r.inline->>'action_type', r.id) AS name, r.workflow_id, r.workflow_version,
  r.status, r.final, r.epoch, r.error, r.correlation_id, r.parent_span_id, r.parent_run_id, r.parent_action_id, r.parent_epoch,
  r.parent_attempt, r.created_at, r.finished_at
FROM run r LEFT JOIN workflow w ON w.id = r.workflow_id
WHERE r.id = ANY ($1::text[]) AND r.final AND r.trace_id IS NOT NULL`;

const TASKS = `
SELECT t.run_id, t.action_id, t.action_type, t.status, t.final, t.epoch, t.ended_attempt, t.parent_id, t.worker, t.error,
  t.started_at, t.finished_at
FROM unnest($1::text[]) AS k(run_id) CROSS JOIN LATERAL (SELECT * FROM task WHERE run_id = k.run_id LIMIT ${MAX_TASKS}) t`;

/** Of runs that were reopened: when each task was first tried, and since when they are. */
const ATTEMPTS = `
SELECT run_id, action_id, min(epoch) AS epoch, 1 AS attempt, 'completed' AS status, NULL::jsonb AS error, NULL AS worker,
  min(started_at) AS started_at, min(finished_at) AS finished_at
FROM attempt WHERE run_id = ANY ($1::text[]) GROUP BY run_id, action_id`;

const REOPENED = `
SELECT run_id, epoch, min(at) AS at FROM event WHERE run_id = ANY ($1::text[]) AND kind = 'run.retried' GROUP BY run_id, epoch`;

export function createEndedRunStore(pool: pg.Pool): EndedRunStore {
  return {
    async read(runIds, isWanted) {
      const found = await pool.query<EndedRun>({ name: 'ended-runs', text: RUNS, values: [runIds] });
      const runs = found.rows.filter(isWanted);
      if (runs.length === 0) return [];
      const ids = [runs.map(({ id }) => id)];
      const reopened = runs.filter(({ epoch }) => epoch > 1).map(({ id }) => id);
      const [tasks, attempts, again] = await Promise.all([
        pool.query<TaskRecord>({ name: 'tasks-of-ended-runs', text: TASKS, values: ids }),
        reopened.length === 0 ? undefined : pool.query<AttemptRecord>(ATTEMPTS, [reopened]),
        reopened.length === 0
          ? undefined
          : pool.query<{ run_id: string; epoch: number; at: Date }>(REOPENED, [reopened]),
      ]);
      const tasksOf = byRun(tasks.rows);
      const attemptsOf = byRun(attempts?.rows ?? []);
      return runs.map((run): EndedRecord => {
        const reopenedAt = again?.rows.find(({ run_id, epoch }) => run_id === run.id && epoch === run.epoch)?.at;
        return { run, tasks: tasksOf.get(run.id) ?? [], firstAttempts: attemptsOf.get(run.id) ?? [], reopenedAt };
      });
    },
  };
}

function byRun<Row extends { run_id: string }>(rows: readonly Row[]): Map<string, Row[]> {
  const grouped = new Map<string, Row[]>();
  for (const row of rows) {
    const known = grouped.get(row.run_id);
    if (known === undefined) grouped.set(row.run_id, [row]);
    else known.push(row);
  }
  return grouped;
}
