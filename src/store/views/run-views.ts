/** Rows of runs and tasks as the views that clients get. Pure. */
import type { Definition } from '../../domain/definition/definition.ts';
import { type RunStatus, STARTED_TASKS, type TaskStatus } from '../../domain/runs/run-states.ts';
import { storedMessage } from '../../domain/texts/error-message.ts';
import type { TaskResult } from '../../schemas/answers.ts';
import type { DefinitionRef } from '../../schemas/job.ts';
import type { Json, JsonObject } from '../../schemas/json.ts';
import type {
  AttemptView,
  Compensation,
  ExecutionSummary,
  ExecutionTask,
  Progress,
} from '../../schemas/workflow-answers.ts';

export interface RunHead {
  id: string;
  tenant_id: string;
  user_id: string;
  workflow_id: string | null;
  workflow_version: number | null;
  inline: DefinitionRef | null;
  status: RunStatus;
  error: Json;
  priority: number;
  trace_id: string | null;
  correlation_id: string | null;
  created_at: Date;
  started_at: Date | null;
  finished_at: Date | null;
  deadline_at: Date | null;
  parent_run_id: string | null;
  parent_action_id: string | null;
}

export interface TaskRecord {
  action_id: string;
  status: TaskStatus;
  epoch: number;
  attempts: number;
  input: Json;
  output: Json;
  omitted: boolean;
  error: Json;
  started_at: Date | null;
  finished_at: Date | null;
  worker: string | null;
  cached: boolean | null;
  effect_unknown: boolean | null;
}

export interface ReportRecord {
  action_id: string;
  epoch: number;
  percent: number | null;
  message: string | null;
  at: Date;
}

/** How the parts of a task stand, by their status. */
export type PartCounts = { total: number } & Partial<Record<TaskStatus, number>>;

export interface AttemptRecord {
  action_id: string;
  attempt: number;
  epoch: number;
  status: string;
  error: Json;
  worker: string | null;
  started_at: Date;
  finished_at: Date;
}

export interface ResultRecord {
  id: string;
  status: RunStatus;
  workflow_id: string | null;
  epoch: number;
  output: Json;
  error: Json;
  cancel_reason: string | null;
  /** A task of this epoch has begun. */
  begun: boolean;
  task_output: Json;
  task_attempts: number | null;
  changed_at: Date;
}

export function summaryOf(run: RunHead): ExecutionSummary {
  return {
    execution_id: run.id,
    workflow_id: run.workflow_id,
    workflow_version: run.workflow_version,
    status: run.status,
    ...(run.inline !== null && 'action_type' in run.inline ? { task_type: run.inline.action_type } : {}),
    error: run.error,
    priority: run.priority,
    trace_id: run.trace_id,
    correlation_id: run.correlation_id,
    tenant_id: run.tenant_id,
    user_id: run.user_id,
    parent:
      run.parent_run_id === null ? null : { execution_id: run.parent_run_id, action_id: run.parent_action_id ?? '' },
    created_at: run.created_at.toISOString(),
    deadline_at: run.deadline_at?.toISOString() ?? null,
    ...timing(run.started_at, run.finished_at),
  };
}

/** `running` is written lazily: a run with a task that has begun is running, whatever its row still says. */
export function liveStatus(stored: RunStatus, begun: boolean): RunStatus {
  return begun && (stored === 'pending' || stored === 'queued') ? 'running' : stored;
}

export interface TaskRecords {
  rows: readonly TaskRecord[];
  attempts: readonly AttemptRecord[];
  reports: readonly ReportRecord[];
}

/**
 * Every action of the definition, in its order; one without a row has not begun. `parameters` is given for a task of
 * the simple door: they are its input, and not stored twice.
 */
export function tasksOf(
  definition: Definition,
  { rows, attempts, reports }: TaskRecords,
  run: {
    createdAt: Date;
    parameters: Json | undefined;
    parts: ReadonlyMap<string, PartCounts>;
    undoings: ReadonlyMap<string, Compensation>;
  },
): ExecutionTask[] {
  const rowById = new Map(rows.map((row) => [row.action_id, row]));
  const history = new Map<string, AttemptView[]>();
  for (const one of attempts) {
    const list = history.get(one.action_id) ?? [];
    history.set(one.action_id, list);
    list.push(attemptOf(one));
  }
  const reportById = new Map(reports.map((report) => [report.action_id, report]));
  return definition.actions.map(({ action_id, action_type, depends_on }) => {
    const row = rowById.get(action_id);
    return {
      action_id,
      action_type,
      status: row?.status ?? 'pending',
      attempts: row?.attempts ?? 0,
      attempts_history: history.get(action_id) ?? [],
      input: row?.input ?? (row === undefined ? null : (run.parameters ?? null)),
      output: row?.output ?? null,
      ...(run.parts.has(action_id) ? { parts: run.parts.get(action_id) } : {}),
      ...(run.undoings.has(action_id) ? { compensation: run.undoings.get(action_id) } : {}),
      ...(row?.omitted === true ? { omitted: true as const } : {}),
      ...(row?.cached === true ? { cached: true as const } : {}),
      ...(row?.effect_unknown === true ? { effect_unknown: true as const } : {}),
      error: row?.error ?? null,
      progress: toldBy(reportById.get(action_id), row?.epoch),
      queued_at: readyAt(depends_on, rowById, run.createdAt)?.toISOString() ?? null,
      ...timing(row?.started_at ?? null, row?.finished_at ?? null),
      worker: row?.worker ?? null,
    };
  });
}

/** What a task said before it was retried by hand does not count any more. */
function toldBy(report: ReportRecord | undefined, epoch: number | undefined): ExecutionTask['progress'] {
  if (report === undefined || (epoch !== undefined && report.epoch !== epoch)) return null;
  return { percent: report.percent, message: report.message, at: report.at.toISOString() };
}

/** When the last of its dependencies had ended; undefined while one has not. */
function readyAt(
  dependsOn: readonly string[],
  rows: ReadonlyMap<string, TaskRecord>,
  createdAt: Date,
): Date | undefined {
  let latest = createdAt;
  for (const id of dependsOn) {
    const ended = rows.get(id)?.finished_at ?? undefined;
    if (ended === undefined) return undefined;
    if (ended > latest) latest = ended;
  }
  return latest;
}

/** The parts add up to `total`: what never ran because of a failure counts as failed, what was cancelled as skipped. */
export function progressOf(tasks: readonly ExecutionTask[]): Progress {
  const count = (...statuses: TaskStatus[]) => tasks.filter(({ status }) => statuses.includes(status)).length;
  const total = tasks.length;
  const completed = count('completed');
  const failed = count('failed', 'upstream_failed');
  const skipped = count('skipped', 'cancelled');
  const running = count(...STARTED_TASKS);
  const percent = total === 0 ? 100 : Math.floor(((completed + failed + skipped) / total) * 1000) / 10;
  const current = tasks.find(({ status }) => STARTED_TASKS.includes(status));
  return {
    ...{ total, completed, failed, skipped, running, pending: count('pending'), percent },
    // As clients of the older platform read it.
    ...{ total_actions: total, completed_actions: completed, percentage: percent },
    current_action: current?.action_id ?? null,
  };
}

/** The word for a run that the simple door uses, and what to say of it. */
export function resultWord(row: Pick<ResultRecord, 'status' | 'begun' | 'error' | 'cancel_reason'>): {
  status: TaskResult['status'];
  message: string | undefined;
} {
  const status = wordOf(liveStatus(row.status, row.begun));
  return { status, message: errorMessage(status, row) };
}

export function resultOf(row: ResultRecord): TaskResult {
  const { status, message } = resultWord(row);
  const output = row.workflow_id === null ? row.task_output : row.output;
  return {
    task_id: row.id,
    status,
    ...(status === 'completed' ? { result: asObject(output) } : {}),
    ...(message === undefined ? {} : { error: message }),
    attempts: row.workflow_id === null ? (row.task_attempts ?? 0) : row.epoch,
    timestamp: row.changed_at.toISOString(),
  };
}

function wordOf(status: RunStatus): TaskResult['status'] {
  switch (status) {
    case 'pending':
    case 'queued':
      return 'pending';
    case 'completed':
    case 'cancelled':
      return status;
    case 'failed':
    case 'timed_out':
    case 'compensated':
    case 'compensation_failed':
      return 'failed';
    default:
      return 'running';
  }
}

function errorMessage(
  status: TaskResult['status'],
  row: Pick<ResultRecord, 'error' | 'cancel_reason'>,
): string | undefined {
  if (status === 'failed') return storedMessage(row.error) ?? 'The task failed';
  if (status === 'cancelled') return storedMessage(row.error) ?? row.cancel_reason ?? 'Cancelled';
  return undefined;
}

function asObject(output: Json): JsonObject {
  return typeof output === 'object' && output !== null && !Array.isArray(output) ? output : { value: output };
}

export function attemptOf(row: AttemptRecord): AttemptView {
  const { attempt, epoch, status, error, worker } = row;
  return {
    attempt,
    epoch,
    status,
    error,
    worker,
    started_at: row.started_at.toISOString(),
    finished_at: row.finished_at.toISOString(),
    duration_ms: Math.max(0, row.finished_at.getTime() - row.started_at.getTime()),
  };
}

function timing(
  started: Date | null,
  finished: Date | null,
): { started_at: string | null; finished_at: string | null; duration_ms: number | null } {
  return {
    started_at: started?.toISOString() ?? null,
    finished_at: finished?.toISOString() ?? null,
    duration_ms: started === null || finished === null ? null : Math.max(0, finished.getTime() - started.getTime()),
  };
}
