/**
 * The spans of a trace, from the rows that there are: a span for each run, each task of it, each attempt of that, and each
 * call. Pure. What runs right now may have no row of its own yet: its calls show it.
 */
import type { RunStatus, TaskStatus } from '../../domain/runs/run-states.ts';
import { SAGA } from '../../domain/runs/saga.ts';
import { storedMessage } from '../../domain/texts/error-message.ts';
import { attemptSpanId, runSpanId, taskSpanId } from '../../engine/tracing/span-ids.ts';
import type { JsonObject } from '../../schemas/json.ts';
import {
  type AttemptRecord,
  type CallRecord,
  OWN_SERVICE,
  type RunRecord,
  type TaskRecord,
  type TraceRecords,
} from './ports.ts';
import type { Span, Trace } from './schemas.ts';

/** `now`: of the clock that wrote the rows. */
export function traceOf(traceId: string, records: TraceRecords, now: Date): Trace {
  const runById = new Map(records.runs.map((run) => [run.id, run]));
  const attemptsOf = new Map<string, AttemptRecord[]>();
  for (const attempt of records.attempts) {
    const task = taskSpanId(attempt.run_id, attempt.action_id);
    attemptsOf.set(task, [...(attemptsOf.get(task) ?? []), attempt]);
  }
  const spans = new Map<string, Span>();
  const put = (span: Span) => spans.set(span.span_id, span);
  for (const run of records.runs) put(ofRun(run));
  for (const task of records.tasks) {
    const own = attemptsOf.get(taskSpanId(task.run_id, task.action_id)) ?? [];
    for (const span of [...ofTask(task, own), ...own.map(ofAttempt)]) put(span);
  }
  for (const call of records.calls) {
    for (const span of underWay(call, runById.get(call.run_id))) if (!spans.has(span.span_id)) put(span);
    put(ofCall(call));
  }
  const inOrder = [...spans.values()].sort(
    (a, b) => Date.parse(a.start_time) - Date.parse(b.start_time) || DEPTH[a.kind] - DEPTH[b.kind],
  );
  const status = statusOf(records);
  return {
    trace_id: traceId,
    status,
    duration_ms: durationOf(inOrder, status === 'active' ? now : undefined),
    spans: inOrder,
    truncated: records.truncated,
  };
}

const DEPTH = { run: 0, task: 1, attempt: 2, call: 3 };

function statusOf({ runs, calls }: TraceRecords): Trace['status'] {
  if (runs.some(({ final }) => !final)) return 'active';
  if (runs.some(({ status }) => status !== 'completed')) return 'failed';
  if (runs.length > 0) return 'completed';
  if (calls.length === 0) return 'unknown';
  return calls.some(({ error }) => error !== null) ? 'failed' : 'completed';
}

/** To the end of the last one, or to `now`. */
function durationOf(inOrder: readonly Span[], now: Date | undefined): number {
  const first = inOrder[0];
  if (first === undefined) return 0;
  const ends = inOrder.map(({ start_time, end_time }) => Date.parse(end_time ?? start_time));
  return Math.max(0, Math.max(now?.getTime() ?? 0, ...ends) - Date.parse(first.start_time));
}

function ofRun(run: RunRecord): Span {
  const parent =
    run.parent_run_id === null
      ? run.parent_span_id
      : attemptSpanId(run.parent_run_id, run.parent_epoch ?? 1, run.parent_action_id ?? '', run.parent_attempt ?? 1);
  return {
    span_id: runSpanId(run.id),
    parent_span_id: parent,
    kind: 'run',
    name: run.name,
    service_name: OWN_SERVICE,
    ...times(run.created_at, run.finished_at),
    status: run.final ? (RUN_ENDS[run.status] ?? 'error') : 'active',
    error: storedMessage(run.error) ?? null,
    attributes: {
      execution_id: run.id,
      workflow_id: run.workflow_id,
      workflow_version: run.workflow_version,
      status: run.status,
      epoch: run.epoch,
      correlation_id: run.correlation_id,
    },
  };
}

const RUN_ENDS: Partial<Record<RunStatus, Span['status']>> = { completed: 'ok', cancelled: 'cancelled' };

/** The task and, where one of its attempts has not ended, that one. An item that has not started has none yet. */
function ofTask(task: TaskRecord, attempts: readonly AttemptRecord[]): Span[] {
  const first = attempts[0];
  const start = earliest(task.started_at, first?.started_at ?? null) ?? task.finished_at;
  if (start === null) return [];
  const { run_id: runId, action_id: actionId } = task;
  const taskSpan: Span = {
    ...taskHead(runId, actionId, task.parent_id),
    ...times(start, task.final ? task.finished_at : null),
    status: task.final ? (TASK_ENDS[task.status] ?? 'error') : 'active',
    error: storedMessage(task.error) ?? null,
    attributes: {
      execution_id: runId,
      action_id: actionId,
      action_type: task.action_type,
      status: task.status,
      epoch: task.epoch,
      attempts: task.ended_attempt,
      worker: task.worker,
    },
  };
  const isUnderWay = task.status === 'running' || task.status === 'waiting';
  if (!isUnderWay) return [taskSpan];
  // It started after the one before it.
  const since = attempts.at(-1)?.finished_at ?? start;
  return [taskSpan, openAttempt({ runId, actionId, epoch: task.epoch, attempt: task.ended_attempt + 1 }, since)];
}

const TASK_ENDS: Partial<Record<TaskStatus, Span['status']>> = {
  completed: 'ok',
  cancelled: 'cancelled',
  skipped: 'skipped',
  upstream_failed: 'skipped',
};

function taskHead(
  runId: string,
  actionId: string,
  parentTask: string | null,
): Pick<Span, 'span_id' | 'parent_span_id' | 'kind' | 'name' | 'service_name'> {
  const parent = parentTask === null || parentTask === SAGA ? runSpanId(runId) : taskSpanId(runId, parentTask);
  return {
    span_id: taskSpanId(runId, actionId),
    parent_span_id: parent,
    kind: 'task',
    name: actionId,
    service_name: OWN_SERVICE,
  };
}

function ofAttempt({ run_id, action_id, epoch, attempt, status, error, worker, ...at }: AttemptRecord): Span {
  return {
    ...attemptHead({ runId: run_id, actionId: action_id, epoch, attempt }),
    ...times(at.started_at, at.finished_at),
    status: status === 'completed' ? 'ok' : status === 'cancelled' ? 'cancelled' : 'error',
    error: storedMessage(error) ?? null,
    attributes: { execution_id: run_id, action_id, epoch, attempt, status, worker },
  };
}

interface AttemptKey {
  runId: string;
  actionId: string;
  epoch: number;
  attempt: number;
}

function openAttempt(key: AttemptKey, since: Date): Span {
  const { runId, actionId, epoch, attempt } = key;
  return {
    ...attemptHead(key),
    ...times(since, null),
    status: 'active',
    error: null,
    attributes: { execution_id: runId, action_id: actionId, epoch, attempt },
  };
}

function attemptHead({
  runId,
  actionId,
  epoch,
  attempt,
}: AttemptKey): Pick<Span, 'span_id' | 'parent_span_id' | 'kind' | 'name' | 'service_name'> {
  return {
    span_id: attemptSpanId(runId, epoch, actionId, attempt),
    parent_span_id: taskSpanId(runId, actionId),
    kind: 'attempt',
    name: `${actionId} #${attempt}`,
    service_name: OWN_SERVICE,
  };
}

/** The task and attempt that a call belongs to, for as long as they have no rows. */
function underWay(call: CallRecord, run: RunRecord | undefined): Span[] {
  const { action_id: actionId, epoch, attempt } = call;
  if (run === undefined || run.final || actionId === null || epoch === null || attempt === null) return [];
  const task: Span = {
    ...taskHead(run.id, actionId, null),
    ...times(call.started_at, null),
    status: 'active',
    error: null,
    attributes: { execution_id: run.id, action_id: actionId, epoch },
  };
  return [task, openAttempt({ runId: run.id, actionId, epoch, attempt }, call.started_at)];
}

function ofCall(call: CallRecord): Span {
  const { kind, run_id, action_id, epoch, attempt, method, host, status } = call;
  const attributes: JsonObject = { execution_id: run_id, action_id, epoch, attempt, kind, method, host };
  return {
    span_id: call.span_id,
    parent_span_id: call.parent_id,
    kind: 'call',
    name: `${method} ${call.service}`,
    service_name: call.service,
    ...times(call.started_at, call.finished_at),
    status: call.error === null ? 'ok' : 'error',
    error: call.error,
    attributes: { ...attributes, status_code: status },
  };
}

function times(start: Date, end: Date | null): Pick<Span, 'start_time' | 'end_time' | 'duration_ms'> {
  return {
    start_time: start.toISOString(),
    end_time: end?.toISOString() ?? null,
    duration_ms: end === null ? null : Math.max(0, end.getTime() - start.getTime()),
  };
}

function earliest(a: Date | null, b: Date | null): Date | null {
  if (a === null || b === null) return a ?? b;
  return a < b ? a : b;
}
