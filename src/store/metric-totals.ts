/** What all processes together have counted. */
import type pg from 'pg';
import type { ErrorCode } from '../domain/errors.ts';
import { ALIVE_SECONDS } from '../domain/health/liveness.ts';
import type { RunStatus } from '../domain/runs/run-states.ts';
import { type CountedRun, type MetricTotals, taskKey } from '../telemetry/shared-metrics.ts';
import { IN_WINDOW } from './accept/window.ts';
import { sqlList } from './core/states.ts';

/** Runs whose end was committed later than that after they ended are not counted. */
const SETTLED_SECONDS = 2;
/** A label that nobody has used for so long is forgotten. */
const KEPT = `interval '30 days'`;

const ADD = `
WITH gone AS (
  DELETE FROM metric_total WHERE updated_at < now() - ${KEPT} AND name LIKE 'orchestrator_retry_%'
)
INSERT INTO metric_total AS m (name, labels, value)
SELECT * FROM unnest($1::text[], $2::text[], $3::float8[])
ON CONFLICT (name, labels) DO UPDATE SET value = m.value + EXCLUDED.value, updated_at = now()`;

/** A run that failed with one of them failed because of the service and not of its work. */
export const ENGINE_CODES: readonly ErrorCode[] = ['internal', 'unavailable', 'overloaded', 'worker_crashed'];

/** Of one that was undone the failure is not the outcome. */
const FAILED_AND_NOT_UNDONE: readonly RunStatus[] = ['failed', 'timed_out'];

// Whoever has the row counts; the others leave it to that one. $1 upper bounds of the buckets, $2 their labels.
const COUNT_RUNS = `
WITH before AS MATERIALIZED (
  SELECT value AS at FROM metric_total WHERE name = 'runs_counted_up_to' FOR UPDATE SKIP LOCKED
), until AS MATERIALIZED (
  SELECT extract(epoch FROM now())::float8 - ${SETTLED_SECONDS} AS at
), moved AS (
  UPDATE metric_total m SET value = u.at, updated_at = now() FROM before b, until u
  WHERE m.name = 'runs_counted_up_to' AND b.at < u.at
), ended AS MATERIALIZED (
  SELECT extract(epoch FROM finished_at - coalesce(started_at, created_at))::float8 AS seconds, finished_at, trace_id, status,
         CASE WHEN status NOT IN ${sqlList(FAILED_AND_NOT_UNDONE)} THEN 'none' WHEN error ->> 'code' = ANY ($4::text[]) THEN 'engine' ELSE 'work' END AS cause
  FROM run
  WHERE final AND finished_at >= to_timestamp((SELECT at FROM before)) AND finished_at < to_timestamp((SELECT at FROM until))
), counted AS (
  SELECT 'orchestrator_flow_runs_processed_total' AS name, $3::text AS labels, count(*)::float8 AS value FROM ended
  UNION ALL SELECT 'orchestrator_run_execution_seconds_count', $3, count(*) FROM ended
  UNION ALL SELECT 'orchestrator_run_execution_seconds_sum', $3, coalesce(sum(seconds), 0) FROM ended
  UNION ALL
  SELECT 'orchestrator_run_execution_seconds_bucket', b.labels, count(*) FROM unnest($1::float8[], $2::text[]) b(le, labels)
    JOIN ended e ON e.seconds <= b.le GROUP BY b.labels
  UNION ALL
  -- As JSON.stringify writes it, the keys in order.
  SELECT 'orchestrator_runs_ended_total', format('{"cause":"%s","service":"orchestrator","status":"%s"}', cause, status), count(*)
    FROM ended GROUP BY cause, status
), added AS (
  INSERT INTO metric_total AS m (name, labels, value)
  SELECT name, labels, value FROM counted WHERE value > 0 ORDER BY name, labels
  ON CONFLICT (name, labels) DO UPDATE SET value = m.value + EXCLUDED.value, updated_at = now()
)
SELECT DISTINCT ON (width_bucket(seconds, $1::float8[])) trace_id AS "traceId", seconds, extract(epoch FROM finished_at)::float8 AS "endedAt"
FROM ended WHERE trace_id IS NOT NULL ORDER BY width_bucket(seconds, $1::float8[]), finished_at DESC`;

const GAUGES = `
SELECT (SELECT count(*)::int FROM (${IN_WINDOW('1', 'ALL')}) AS live) AS active_runs,
       (SELECT coalesce(sum(active_tasks), 0)::int FROM worker WHERE seen_at > now() - interval '${ALIVE_SECONDS} seconds') AS active_tasks`;

/** When a counter was last added to, if it was so lately. */
export async function lastCounted(
  pool: pg.Pool,
  name: string,
  withinSeconds: number,
): Promise<{ agoSeconds: number } | undefined> {
  const { rows } = await pool.query<{ ago: number | null }>(
    `SELECT extract(epoch FROM now() - max(updated_at))::float8 AS ago FROM metric_total
     WHERE name = $1 AND updated_at > now() - make_interval(secs => $2)`,
    [name, withinSeconds],
  );
  const ago = rows[0]?.ago;
  return typeof ago === 'number' ? { agoSeconds: Math.max(0, Math.round(ago)) } : undefined;
}

export function createMetricTotals(pool: pg.Pool): MetricTotals {
  return {
    async add(samples) {
      // In one order everywhere, so that two processes never wait for each other.
      const sorted = [...samples].sort((a, b) => (a.name + a.labels < b.name + b.labels ? -1 : 1));
      const columns = [sorted.map((s) => s.name), sorted.map((s) => s.labels), sorted.map((s) => s.value)];
      await pool.query(ADD, columns);
    },
    async countRuns({ bounds, labels, plain }) {
      const values = [bounds, labels, plain, ENGINE_CODES];
      const { rows } = await pool.query<CountedRun>({ name: 'count-ended-runs', text: COUNT_RUNS, values });
      return rows;
    },
    async retriedTasks() {
      const { rows } = await pool.query<{ labels: string }>(
        `SELECT labels FROM metric_total WHERE name = 'orchestrator_retry_attempts_total'`,
      );
      const labels = rows.map((row) => JSON.parse(row.labels) as { task_id: string; handler: string }); // As it was added.
      return new Set(labels.map(({ task_id, handler }) => taskKey(task_id, handler)));
    },
    async read() {
      const [totals, gauges] = await Promise.all([
        pool.query<{ name: string; labels: string; value: number }>(
          `SELECT name, labels, value FROM metric_total WHERE name <> 'runs_counted_up_to'`,
        ),
        pool.query<{ active_runs: number; active_tasks: number }>(GAUGES),
      ]);
      const { active_runs: activeRuns = 0, active_tasks: activeTasks = 0 } = gauges.rows[0] ?? {};
      return { samples: totals.rows, activeRuns, activeTasks };
    },
  };
}
