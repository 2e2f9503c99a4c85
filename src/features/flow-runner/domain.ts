/** The words of the older flow runner for what this service has: statuses in capitals, plain texts of errors. */
import type { Definition } from '../../domain/definition/definition.ts';
import type { RunStatus, TaskStatus } from '../../domain/runs/run-states.ts';
import type { Json, JsonObject } from '../../schemas/json.ts';

export type FlowRunStatus = 'PENDING' | 'RUNNING' | 'COMPLETED' | 'FAILED' | 'CANCELLED';
export type FlowTaskStatus = 'PENDING' | 'READY' | 'RUNNING' | 'COMPLETED' | 'FAILED' | 'RETRYING' | 'DEAD_LETTER';

export const FLOW_RUN_STATUSES: Readonly<Record<RunStatus, FlowRunStatus>> = {
  pending: 'PENDING',
  queued: 'PENDING',
  running: 'RUNNING',
  waiting: 'RUNNING',
  paused: 'RUNNING',
  cancelling: 'RUNNING',
  compensating: 'RUNNING',
  completed: 'COMPLETED',
  failed: 'FAILED',
  timed_out: 'FAILED',
  compensated: 'FAILED',
  compensation_failed: 'FAILED',
  cancelled: 'CANCELLED',
};

/** A failed task has no attempt left, which makes it a dead letter. One that was skipped has done all that it had to. */
export const FLOW_TASK_STATUSES: Readonly<Record<TaskStatus, FlowTaskStatus>> = {
  pending: 'PENDING',
  waiting: 'RUNNING',
  running: 'RUNNING',
  retrying: 'RETRYING',
  completed: 'COMPLETED',
  skipped: 'COMPLETED',
  failed: 'DEAD_LETTER',
  cancelled: 'FAILED',
  upstream_failed: 'FAILED',
};

/** `{}` means that there is none. */
export function hasDefinition(written: JsonObject | undefined): written is JsonObject {
  return written !== undefined && Object.keys(written).length > 0;
}

export function isFlowForm(written: JsonObject): boolean {
  return Object.hasOwn(written, 'tasks') && !Object.hasOwn(written, 'actions');
}

/** The output of a flow has the output of each task; that of another workflow those of its last actions. */
export function withOutputsOfAll(definition: Definition): Definition {
  const output = Object.fromEntries(definition.actions.map(({ action_id: id }) => [id, `{{${id}}}`]));
  return { ...definition, output };
}

/** The handlers or action types that a definition names, as far as it can be read. */
export function handlersIn(written: JsonObject): string[] {
  const [list, field] = isFlowForm(written) ? ['tasks', 'handler'] : ['actions', 'action_type'];
  const entries = written[list];
  if (!Array.isArray(entries)) return [];
  return entries.flatMap((entry) => {
    const name = isObject(entry) ? entry[field] : undefined;
    return typeof name === 'string' ? [name] : [];
  });
}

/** The text of an error, which is all that older clients have of it. */
export function errorText(error: Json): string | null {
  if (error === null) return null;
  const message = isObject(error) ? error['message'] : error;
  return typeof message === 'string' ? message : JSON.stringify(error);
}

function isObject(value: Json | undefined): value is JsonObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
