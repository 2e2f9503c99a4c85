/** Runs that have ended as the spans that a collector gets: those of `spans.ts`. */
import type { EndedSpan, SpanAttributes } from '../../domain/ended-span.ts';
import { ofRun } from '../../engine/tracing/span-export.ts';
import { parentIdOf, reopenedSpanId, runSpanId } from '../../engine/tracing/span-ids.ts';
import type { EndedRunReader } from './export-ended-runs.ts';
import type { EndedRecord, EndedRun, EndedRunStore, TaskRecord } from './ports.ts';
import type { Span } from './schemas.ts';
import { traceOf } from './spans.ts';

export function createEndedRunReader(
  store: EndedRunStore,
  isSampled: (traceId: string, parentSpan: string | null) => boolean,
): EndedRunReader {
  return {
    async spans(runIds) {
      const records = await store.read(runIds, (run) => isSampled(run.trace_id, run.parent_span_id));
      return records.flatMap(spansOf);
    },
  };
}

/**
 * A run that was reopened has been exported before, and a span is exported once: what is new is a span of its own below that of the
 * run, and below the tasks, which have theirs, the attempts. Only parts that began since are tasks that nobody knows.
 */
function spansOf({ run, tasks, firstAttempts, reopenedAt }: EndedRecord): EndedSpan[] {
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

function codeOf(error: unknown): string | undefined {
  if (typeof error !== 'object' || error === null || !('code' in error)) return undefined;
  return typeof error.code === 'string' ? error.code : undefined;
}
