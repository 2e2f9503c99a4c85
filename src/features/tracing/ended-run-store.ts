/** Reads runs that have ended, and their tasks, as the spans that a collector gets: those of `spans.ts`. */
import type pg from 'pg';
import type { EndedSpan, SpanAttributes } from '../../domain/ended-span.ts';
import { ofRun } from '../../engine/tracing/span-export.ts';
import { parentIdOf, reopenedSpanId, runSpanId } from '../../engine/tracing/span-ids.ts';
import type { EndedRunReader } from './export-ended-runs.ts';
import type { AttemptRecord, RunRecord, TaskRecord } from './ports.ts';
import type { Span } from './schemas.ts';
import { traceOf } from './spans.ts';

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

type EndedRun = RunRecord & { tenant_id: string; trace_id: string };

export function createEndedRunReader(
  pool: pg.Pool,
  isSampled: (traceId: string, parentSpan: string | null) => boolean,
): EndedRunReader {
  return {
    async spans(runIds) {
      const found = await pool.query<EndedRun>({ name: 'ended-runs', text: RUNS, values: [runIds] });
      const runs = found.rows.filter((run) => isSampled(run.trace_id, run.parent_span_id));
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
      return runs.flatMap((run) => {
        const since = again?.rows.find(({ run_id, epoch }) => run_id === run.id && epoch === run.epoch)?.at;
        return spansOf(run, tasksOf.get(run.id) ?? [], attemptsOf.get(run.id) ?? [], since);
      });
    },
  };
}

/**
 * A run that was reopened has been exported before, and a span is exported once: what is new is a span of its own below that of the
 * run, and below the tasks, which have theirs, the attempts. Only parts that began since are tasks that nobody knows.
 */
export function spansOf(
  run: EndedRun,
  tasks: readonly TaskRecord[],
  firstAttempts: readonly AttemptRecord[],
  reopenedAt?: Date,
): EndedSpan[] {
  const begunIn = new Map(firstAttempts.map(({ action_id, epoch }) => [action_id, epoch]));
  const isNew = (task: TaskRecord) =>
    run.epoch === 1 || (task.parent_id !== null && begunIn.get(task.action_id) === run.epoch);
  const parent = run.parent_span_id === null ? null : parentIdOf(run.parent_span_id);
  const records = {
    runs: [{ ...run, parent_span_id: parent }],
    tasks: tasks.filter(isNew),
    attempts: firstAttempts,
    calls: [],
    truncated: false,
  };
  const spans = traceOf(run.trace_id, records, run.finished_at ?? run.created_at).spans;
  const statusOf = new Map(tasks.map((task) => [task.action_id, task]));
  return spans.flatMap((span) => {
    if (span.kind !== 'run') return span.kind === 'task' ? [exported(run, span, statusOf)] : [];
    if (run.epoch === 1) return [exported(run, span, statusOf)];
    const own = { span_id: reopenedSpanId(run.id, run.epoch), parent_span_id: runSpanId(run.id) };
    const start_time = (reopenedAt ?? run.created_at).toISOString();
    const whole = exported(run, { ...span, ...own, start_time, name: `${span.name} (reopened)` }, statusOf);
    return [{ ...whole, links: [{ traceId: run.trace_id, spanId: runSpanId(run.id) }] }];
  });
}

function exported(run: EndedRun, span: Span, tasks: ReadonlyMap<string, TaskRecord>): EndedSpan {
  const { kind, name, start_time, end_time, status } = span;
  const task = kind === 'task' ? tasks.get(name) : undefined;
  const start = Date.parse(start_time);
  const error = kind === 'task' ? task?.error : run.error;
  const attributes: SpanAttributes = {
    ...ofRun(run.id, run.tenant_id, task?.epoch ?? run.epoch),
    'orchestrator.status': task?.status ?? run.status,
    ...(task === undefined
      ? {}
      : { 'orchestrator.action_id': task.action_id, 'orchestrator.action_type': task.action_type }),
    ...(kind === 'run' && run.workflow_id !== null ? { 'orchestrator.workflow_id': run.workflow_id } : {}),
    ...(kind === 'run' && run.workflow_version !== null
      ? { 'orchestrator.workflow_version': run.workflow_version }
      : {}),
  };
  return {
    traceId: run.trace_id,
    spanId: span.span_id,
    parentId: span.parent_span_id,
    name,
    kind: 'internal',
    startMs: start,
    endMs: Math.max(start, Date.parse(end_time ?? start_time)),
    attributes,
    ...(status === 'error' ? { error: { type: codeOf(error) ?? run.status, message: span.error ?? undefined } } : {}),
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

function codeOf(error: unknown): string | undefined {
  if (typeof error !== 'object' || error === null || !('code' in error)) return undefined;
  return typeof error.code === 'string' ? error.code : undefined;
}
