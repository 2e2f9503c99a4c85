/** Runs as the API shows them. Outputs are handed on as they are, never copied: an execution may be many megabytes. */

import { STARTED_TASKS, type TaskStatus } from '../../domain/runs/run-states.ts';
import { isoText } from '../../domain/texts/iso-text.ts';
import type { RunWindow } from '../../engine/ports/read-models.ts';
import type { ConcurrencyWait, RunSummary, RunView, TaskView } from '../../engine/ports/run-views.ts';
import type { Execution, ExecutionSummary, Progress } from '../../schemas/workflow-answers.ts';
import type { Links } from '../server/links.ts';
import { pageOf, writeCursor } from '../server/paging.ts';
import { presentPausedBy } from './control.ts';
import { presentLateEffect } from './late-effects.ts';
import { presentTask, timesOf } from './tasks.ts';

export function presentSummary(run: RunSummary, links: Links): ExecutionSummary {
  const { id, workflowId, workflowVersion, status, actionType, error } = run;
  return {
    execution_id: id,
    workflow_id: workflowId,
    workflow_version: workflowVersion,
    status,
    task_type: actionType,
    error,
    ...circumstancesOf(run, links),
  };
}

/** The order of the fields is older than this form of it, and is kept. */
export function presentExecution(run: RunView, links: Links): Execution {
  return {
    execution_id: run.id,
    workflow_id: run.workflowId,
    workflow_version: run.workflowVersion,
    status: run.status,
    waiting_for: run.waitsFor && presentConcurrencyWait(run.waitsFor),
    parameters: run.parameters,
    output: run.output,
    error: run.error,
    progress: progressOf(run.tasks),
    tasks: run.tasks.map((task) => presentTask(task, links)),
    task_type: run.actionType,
    ...circumstancesOf(run, links),
    cancel_reason: run.cancelReason,
    paused: run.paused && presentPausedBy(run.paused),
    late_effects: run.lateEffects.length === 0 ? undefined : run.lateEffects.map(presentLateEffect),
  };
}

/** A page of a list of executions. */
export function executionPage(
  { window, page }: { window: RunWindow; page: number },
  found: { items: RunSummary[]; total: number; more: boolean },
  links: Links,
): object {
  const last = found.items.at(-1);
  const next =
    found.more && last !== undefined ? writeCursor({ t: isoText(last.createdAt), i: last.id, p: page + 1 }) : null;
  const items = found.items.map((run) => presentSummary(run, links));
  const totalPages = Math.ceil(found.total / window.limit);
  return {
    items,
    executions: items,
    ...pageOf(page, window.limit, found.total),
    pagination: {
      page,
      page_size: window.limit,
      total_items: found.total,
      total_pages: totalPages,
      has_next: next !== null,
      has_previous: page > 1,
    },
    next_cursor: next,
  };
}

function circumstancesOf(run: RunSummary, links: Links) {
  const { parent } = run;
  return {
    priority: run.priority,
    trace_id: run.traceId,
    correlation_id: run.correlationId,
    tenant_id: run.tenantId,
    user_id: run.userId,
    parent: parent && {
      execution_id: parent.runId,
      action_id: parent.actionId,
      link: links.execution(parent.runId),
    },
    created_at: isoText(run.createdAt),
    deadline_at: isoText(run.deadlineAt),
    ...timesOf(run),
  };
}

function presentConcurrencyWait({ key, limit, position }: ConcurrencyWait): Execution['waiting_for'] {
  return { concurrency_key: key, limit, position };
}

/** The parts add up to `total`: what never ran because of a failure counts as failed, what was cancelled as skipped. */
export function progressOf(tasks: ReadonlyArray<Pick<TaskView, 'actionId' | 'status'>>): Progress {
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
    current_action: current?.actionId ?? null,
  };
}
