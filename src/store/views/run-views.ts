/** Rows of runs and tasks as what is shown of them. Pure. */
import type { Definition } from '../../domain/definition/definition.ts';
import type { RunStatus, TaskStatus } from '../../domain/runs/run-states.ts';
import { storedMessage } from '../../domain/texts/error-message.ts';
import type {
  AttemptView,
  ChildView,
  CompensationView,
  ExternalTaskView,
  PartCounts,
  RunResult,
  RunSummary,
  TaskView,
  TaskWait,
} from '../../engine/ports/run-views.ts';
import type { DefinitionRef } from '../../schemas/job.ts';
import type { Json } from '../../schemas/json.ts';

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

export interface Report {
  epoch: number;
  percent: number | null;
  message: string | null;
  at: Date;
}

export interface ResultRecord {
  id: string;
  status: RunStatus;
  workflow_id: string | null;
  epoch: number;
  output: Json;
  error: Json;
  cancel_reason: string | null;
  /** A task of this epoch has started. */
  started: boolean;
  task_output: Json;
  task_attempts: number | null;
  changed_at: Date;
}

/** What is known of the tasks of a run beside their rows, each by action. */
export interface BesideTasks {
  attempts: ReadonlyMap<string, AttemptView[]>;
  reports: ReadonlyMap<string, Report>;
  parts: ReadonlyMap<string, PartCounts>;
  undoings: ReadonlyMap<string, CompensationView>;
  externals: ReadonlyMap<string, ExternalTaskView>;
  children: ReadonlyMap<string, ChildView>;
  waits: ReadonlyMap<string, TaskWait>;
}

export function summaryOf(run: RunHead): RunSummary {
  const { parent_run_id: runId, parent_action_id: actionId, inline } = run;
  return {
    id: run.id,
    workflowId: run.workflow_id,
    workflowVersion: run.workflow_version,
    status: run.status,
    actionType: inline !== null && 'action_type' in inline ? inline.action_type : undefined,
    error: run.error,
    priority: run.priority,
    traceId: run.trace_id,
    correlationId: run.correlation_id,
    tenantId: run.tenant_id,
    userId: run.user_id,
    parent: runId === null ? null : { runId, actionId: actionId ?? '' },
    createdAt: run.created_at,
    deadlineAt: run.deadline_at,
    startedAt: run.started_at,
    finishedAt: run.finished_at,
  };
}

/** `running` is written lazily: a run with a task that has started is running, whatever its row still says. */
export function liveStatus(stored: RunStatus, started: boolean): RunStatus {
  return started && (stored === 'pending' || stored === 'queued') ? 'running' : stored;
}

/**
 * Every action of the definition, in its order; one without a row has not started. `parameters` is given for a task of
 * the single-task API: they are its input, and not stored twice.
 */
export function tasksOf(
  definition: Definition,
  rows: ReadonlyMap<string, TaskRecord>,
  run: { createdAt: Date; parameters: Json | undefined },
  beside: BesideTasks,
): TaskView[] {
  return definition.actions.map(({ action_id: actionId, action_type: actionType, depends_on }) => {
    const row = rows.get(actionId);
    return {
      actionId,
      actionType,
      status: row?.status ?? 'pending',
      attempts: row?.attempts ?? 0,
      history: beside.attempts.get(actionId) ?? [],
      input: row?.input ?? (row === undefined ? null : (run.parameters ?? null)),
      output: row?.output ?? null,
      parts: beside.parts.get(actionId),
      compensation: beside.undoings.get(actionId),
      omitted: row?.omitted === true,
      cached: row?.cached === true,
      effectUnknown: row?.effect_unknown === true,
      error: row?.error ?? null,
      progress: toldBy(beside.reports.get(actionId), row?.epoch),
      queuedAt: readyAt(depends_on, rows, run.createdAt),
      startedAt: row?.started_at ?? null,
      finishedAt: row?.finished_at ?? null,
      worker: row?.worker ?? null,
      external: beside.externals.get(actionId),
      child: beside.children.get(actionId),
      waitsFor: beside.waits.get(actionId),
    };
  });
}

/** What a task said before a manual retry does not count any more. */
function toldBy(report: Report | undefined, epoch: number | undefined): TaskView['progress'] {
  if (report === undefined || (epoch !== undefined && report.epoch !== epoch)) return null;
  return report;
}

/** When the last of its dependencies had ended; null while one has not. */
function readyAt(dependsOn: readonly string[], rows: ReadonlyMap<string, TaskRecord>, createdAt: Date): Date | null {
  let latest = createdAt;
  for (const id of dependsOn) {
    const ended = rows.get(id)?.finished_at ?? null;
    if (ended === null) return null;
    if (ended > latest) latest = ended;
  }
  return latest;
}

/** The status of a run in the single-task API, and what to say of it. */
export function resultWord(row: Pick<ResultRecord, 'status' | 'started' | 'error' | 'cancel_reason'>): {
  status: RunResult['status'];
  message: string | undefined;
} {
  const status = wordOf(liveStatus(row.status, row.started));
  return { status, message: errorMessage(status, row) };
}

export function resultOf(row: ResultRecord): Omit<RunResult, 'final'> {
  const isSingle = row.workflow_id === null;
  return {
    id: row.id,
    ...resultWord(row),
    output: isSingle ? row.task_output : row.output,
    attempts: isSingle ? (row.task_attempts ?? 0) : row.epoch,
    changedAt: row.changed_at,
  };
}

function wordOf(status: RunStatus): RunResult['status'] {
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
  status: RunResult['status'],
  row: Pick<ResultRecord, 'error' | 'cancel_reason'>,
): string | undefined {
  if (status === 'failed') return storedMessage(row.error) ?? 'The task failed';
  if (status === 'cancelled') return storedMessage(row.error) ?? row.cancel_reason ?? 'Cancelled';
  return undefined;
}
