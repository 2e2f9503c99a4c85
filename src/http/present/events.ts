/** Events of a run, what its running tasks say, and how a task stands, as the API shows them. */

import type { LiveMessage } from '../../domain/runs/live-reports.ts';
import type { RunEvent } from '../../domain/runs/run-events.ts';
import { isoText } from '../../domain/texts/iso-text.ts';
import type { TaskState } from '../../engine/deliver/task-states.ts';
import type { RunEventView } from '../../schemas/run-events.ts';

export function presentRunEvent(executionId: string, event: RunEvent): RunEventView {
  return { id: event.id, event: event.kind, data: dataOf(executionId, event) };
}

/** Of a stream. */
export function runEventText(executionId: string, event: RunEvent): string {
  return `id: ${event.id}\nevent: ${event.kind}\ndata: ${JSON.stringify(dataOf(executionId, event))}\n\n`;
}

/** Without an id: it is no position, and a client that comes back goes on after the last event that has one. */
export function liveMessageText(executionId: string, message: LiveMessage): string {
  return `event: ${message.kind}\ndata: ${JSON.stringify(dataOf(executionId, message))}\n\n`;
}

/** Of a socket. */
export function presentTaskState(taskId: string, { status, progress, message, final, at }: TaskState): object {
  return { task_id: taskId, status, progress, message, timestamp: isoText(at), final: final || undefined };
}

/** What a task streams, of a socket. */
export function presentTaskOutput(taskId: string, { kind, actionId, attempt, at, details }: LiveMessage): object {
  const head = { task_id: taskId, status: 'running', event: kind, action_id: actionId, attempt };
  return { ...head, ...details, timestamp: isoText(at) };
}

function dataOf<Details>(
  executionId: string,
  event: Pick<RunEvent, 'actionId' | 'epoch' | 'attempt' | 'at'> & { details: Details },
) {
  const { actionId, epoch, attempt, at, details } = event;
  return { execution_id: executionId, epoch, action_id: actionId, attempt, at: isoText(at), details };
}
