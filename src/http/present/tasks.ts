/** Tasks as the API shows them: those of an execution, their parts and attempts, and the result of a single task. */

import { isoText } from '../../domain/texts/iso-text.ts';
import type {
  AttemptView,
  ChildView,
  CompensationView,
  ExternalTaskView,
  PartView,
  RunResult,
  TaskView,
  TaskWait,
} from '../../engine/ports/run-views.ts';
import type { TaskResult } from '../../schemas/answers.ts';
import type * as external from '../../schemas/external-tasks.ts';
import type { Json, JsonObject } from '../../schemas/json.ts';
import type { WaitingFor } from '../../schemas/waiting-for.ts';
import type * as answers from '../../schemas/workflow-answers.ts';
import type { Links } from '../server/links.ts';

/** The ETag of the result is made of this text: the order of the fields has to stay. */
export function presentResult({ id, status, output, message, attempts, changedAt }: RunResult): TaskResult {
  return {
    task_id: id,
    status,
    result: status === 'completed' ? asObject(output) : undefined,
    error: message,
    attempts,
    timestamp: isoText(changedAt),
  };
}

export function presentTask(task: TaskView, links: Links): answers.ExecutionTask {
  const { actionId, actionType, status, attempts, history, input, output, error, progress, worker } = task;
  return {
    action_id: actionId,
    action_type: actionType,
    status,
    attempts,
    attempts_history: history.map(presentAttempt),
    input,
    output,
    parts: task.parts,
    compensation: task.compensation && presentCompensation(task.compensation),
    omitted: task.omitted || undefined,
    cached: task.cached || undefined,
    effect_unknown: task.effectUnknown || undefined,
    error,
    progress: progress && { percent: progress.percent, message: progress.message, at: isoText(progress.at) },
    queued_at: isoText(task.queuedAt),
    ...timesOf(task),
    worker,
    external: task.external && presentExternalTask(task.external),
    child: task.child && presentChild(task.child, links),
    waiting_for: task.waitsFor && presentWait(task.waitsFor),
  };
}

export function presentPart(part: PartView): answers.ExecutionPart {
  const { actionId, position, status, attempts, item, input, output, error, worker, history } = part;
  return {
    action_id: actionId,
    position,
    status,
    attempts,
    ...{ item, input, output, error },
    worker,
    attempts_history: history.map(presentAttempt),
    started_at: isoText(part.startedAt),
    finished_at: isoText(part.finishedAt),
    waiting_for: part.waitsFor && presentWait(part.waitsFor),
  };
}

/** When it started and ended, and how long that took; the clock may have been set back in between. */
export function timesOf({ startedAt, finishedAt }: { startedAt: Date | null; finishedAt: Date | null }) {
  return {
    started_at: isoText(startedAt),
    finished_at: isoText(finishedAt),
    duration_ms: startedAt === null || finishedAt === null ? null : Math.max(0, Number(finishedAt) - Number(startedAt)),
  };
}

function presentAttempt({ attempt, epoch, status, error, worker, startedAt, finishedAt }: AttemptView) {
  const duration_ms = Math.max(0, Number(finishedAt) - Number(startedAt));
  const times = { started_at: isoText(startedAt), finished_at: isoText(finishedAt), duration_ms };
  return { attempt, epoch, status, error, worker, ...times };
}

function presentCompensation(of: CompensationView): answers.Compensation {
  const { actionType: action_type, status, attempts, input, output, error } = of;
  const times = { started_at: isoText(of.startedAt), finished_at: isoText(of.finishedAt) };
  return { action_type, status, attempts, input, output, error, ...times };
}

function presentExternalTask(task: ExternalTaskView): external.ExternalTaskView {
  return {
    task_id: task.id,
    topic: task.topic,
    status: task.status,
    worker_id: task.workerId,
    deliveries: task.deliveries,
    lease_expires_at: isoText(task.leaseUntil),
    deadline: isoText(task.deadlineAt),
    progress: task.progress,
  };
}

function presentChild({ runId, status }: ChildView, links: Links): answers.ExecutionTask['child'] {
  return { execution_id: runId, status, link: links.execution(runId) };
}

function presentWait(wait: TaskWait): WaitingFor {
  const times = { deadline: isoText(wait.deadline), since: isoText(wait.since) };
  if (wait.kind === 'signal') return { kind: wait.kind, name: wait.name, ...times };
  const { kind, message, approvers, escalated } = wait;
  return { kind, message, approvers, deadline: times.deadline, escalated, since: times.since };
}

function asObject(output: Json): JsonObject {
  return typeof output === 'object' && output !== null && !Array.isArray(output) ? output : { value: output };
}
