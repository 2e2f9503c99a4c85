/** Reads traces. Every statement goes along an index and stops after a bounded stretch of it. */
import type pg from 'pg';
import {
  type AttemptRecord,
  type CallRecord,
  OWN_SERVICE,
  type RunRecord,
  type ServiceTrace,
  type TaskRecord,
  type TraceCounts,
  type TraceReader,
} from './ports.ts';

const MAX_COUNTED = 50_000;
const MAX_RUNS = 100;
/** Of tasks, attempts and calls each. */
const MAX_SPANS = 2_000;

const NOT_COMPLETED = `final AND status <> 'completed'`;

export const TRACING_STATS = `
WITH recent AS MATERIALIZED (
  SELECT coalesce(trace_id, id) AS trace, final, status, created_at, finished_at FROM run
  WHERE tenant_id = $1 AND created_at >= now() - make_interval(hours => $2::int)
  ORDER BY created_at DESC, id DESC LIMIT ${MAX_COUNTED}
), traces AS (
  SELECT bool_and(final) AS over, bool_or(${NOT_COMPLETED}) AS failed,
    extract(epoch FROM max(finished_at) - min(created_at)) AS seconds
  FROM recent GROUP BY trace
)
SELECT count(*)::int AS total, (count(*) FILTER (WHERE NOT over))::int AS active,
  (count(*) FILTER (WHERE over AND failed))::int AS failed, coalesce(avg(seconds) FILTER (WHERE over), 0)::float8 AS seconds,
  (SELECT min(created_at) FROM recent) AS since
FROM traces`;

// The name is that of the workflow; a single task has none but its type.
const RUNS = `
SELECT r.id, coalesce(w.name, r.inline->>'action_type', r.id) AS name, r.workflow_id, r.workflow_version, r.status, r.final, r.epoch,
  r.error, r.correlation_id, left(r.parent_span_id, 16) AS parent_span_id, r.parent_run_id, r.parent_action_id, r.parent_epoch, r.parent_attempt, r.created_at,
  r.finished_at
FROM (SELECT * FROM run WHERE tenant_id = $1 AND trace_id = $2 LIMIT ${MAX_RUNS + 1}) r
LEFT JOIN workflow w ON w.id = r.workflow_id ORDER BY r.created_at, r.id`;

const TASKS = `
SELECT run_id, action_id, action_type, status, final, epoch, ended_attempt, parent_id, worker, error, started_at, finished_at
FROM task WHERE run_id = ANY ($1::text[]) ORDER BY run_id, action_id LIMIT ${MAX_SPANS + 1}`;

const ATTEMPTS = `
SELECT run_id, action_id, epoch, attempt, status, error, worker, started_at, finished_at
FROM attempt WHERE run_id = ANY ($1::text[]) ORDER BY run_id, action_id, epoch, attempt LIMIT ${MAX_SPANS + 1}`;

const CALLS = `
SELECT span_id, parent_id, kind, run_id, action_id, epoch, attempt, service, method, host, status, error, started_at, finished_at
FROM call_span WHERE tenant_id = $1 AND trace_id = $2 LIMIT ${MAX_SPANS + 1}`;

/** Of each of `traces`, how its runs stand. */
const WITH_RUNS = `
SELECT t.trace_id AS "traceId", t.calls, t.errors, t.total, t.first, t.last, r.over, r.failed, r.started,
  CASE WHEN r.over THEN r.ended WHEN NOT r.over THEN now() END AS ended
FROM traces t LEFT JOIN LATERAL (
  SELECT bool_and(final) AS over, bool_or(${NOT_COMPLETED}) AS failed, min(created_at) AS started, max(finished_at) AS ended
  FROM (SELECT final, status, created_at, finished_at FROM run WHERE tenant_id = $1 AND trace_id = t.trace_id LIMIT ${MAX_RUNS}) one
) r ON true
ORDER BY t.newest DESC, t.trace_id`;

const GROUPED = `
traces AS (
  SELECT trace_id, count(*)::int AS calls, (count(*) FILTER (WHERE failed))::int AS errors, min(started_at) AS first,
    max(finished_at) AS last, max(started_at) AS newest, (count(*) OVER ())::int AS total
  FROM calls GROUP BY trace_id ORDER BY newest DESC, trace_id LIMIT $3
)`;

export const SERVICE_TRACES = `
WITH calls AS MATERIALIZED (
  SELECT trace_id, started_at, finished_at, error IS NOT NULL AS failed FROM call_span
  WHERE tenant_id = $1 AND service = $2 ORDER BY started_at DESC LIMIT ${MAX_COUNTED}
), ${GROUPED} ${WITH_RUNS}`;

const OWN_TRACES = `
WITH calls AS MATERIALIZED (
  SELECT trace_id, created_at AS started_at, coalesce(finished_at, now()) AS finished_at, ${NOT_COMPLETED} AS failed FROM run
  WHERE tenant_id = $1 AND trace_id IS NOT NULL AND $2::text IS NOT NULL ORDER BY created_at DESC, id DESC LIMIT ${MAX_COUNTED}
), ${GROUPED} ${WITH_RUNS}`;

export function createTraceReader(pool: pg.Pool): TraceReader {
  return {
    async stats(tenantId, hours) {
      const { rows } = await pool.query<TraceCounts>(TRACING_STATS, [tenantId, hours]);
      return rows[0] ?? { total: 0, active: 0, failed: 0, seconds: 0, since: null };
    },
    async trace(tenantId, traceId) {
      const [runs, calls, clock] = await Promise.all([
        pool.query<RunRecord>(RUNS, [tenantId, traceId]),
        pool.query<CallRecord>(CALLS, [tenantId, traceId]),
        pool.query<{ now: Date }>('SELECT now()'),
      ]);
      const shown = first(runs.rows, MAX_RUNS);
      const ids = shown.map(({ id }) => id);
      const [tasks, attempts] = await Promise.all([
        pool.query<TaskRecord>(TASKS, [ids]),
        pool.query<AttemptRecord>(ATTEMPTS, [ids]),
      ]);
      const parts = [tasks.rows, attempts.rows, calls.rows];
      const truncated = runs.rows.length > MAX_RUNS || parts.some((rows) => rows.length > MAX_SPANS);
      const records = {
        runs: shown,
        tasks: first(tasks.rows, MAX_SPANS),
        attempts: first(attempts.rows, MAX_SPANS),
        calls: first(calls.rows, MAX_SPANS),
        truncated,
      };
      return { records, now: clock.rows[0]?.now ?? new Date() };
    },
    async ofService(tenantId, service, limit) {
      const text = service === OWN_SERVICE ? OWN_TRACES : SERVICE_TRACES;
      const { rows } = await pool.query<ServiceTrace & { total: number }>(text, [tenantId, service, limit]);
      return { traces: rows, total: rows[0]?.total ?? 0 };
    },
  };
}

function first<T>(rows: readonly T[], most: number): readonly T[] {
  return rows.slice(0, most);
}
