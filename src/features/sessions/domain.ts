/** The rules of sessions: their ids, how they stand, and what their execution is given. Pure. */
import type { RunStatus } from '../../domain/runs/run-states.ts';
import type { Json, JsonObject } from '../../schemas/json.ts';

export const DEFAULT_MODEL = 'somagent-demo';
/** With its prefix a workflow id has 255 characters at most. */
export const MAX_SESSION_ID = 247;
/** Of one session. */
export const MAX_MESSAGES = 1_000;
/** The action that takes them, and the name of their signal. */
export const ROUNDS = 'rounds';
export const MESSAGE = 'message';
export const SESSION_WORKFLOW = 'session';

const PREFIX = 'session-';
const SUMMARY_CHARACTERS = 200;
const LOG_CHARACTERS = 2_048;

export type SessionStatus = 'running' | 'completed' | 'failed' | 'canceled' | 'terminated' | 'timed_out';

export function workflowIdOf(sessionId: string): string {
  return `${PREFIX}${sessionId}`;
}

/** The session ids that `id` may stand for: itself first, then that of the workflow id. */
export function sessionIdsIn(id: string): string[] {
  return id.startsWith(PREFIX) ? [id, id.slice(PREFIX.length)] : [id];
}

/** As clients of sessions know them. `terminated`: that is how it was called off. */
export function sessionStatus(status: RunStatus, terminated: boolean): SessionStatus {
  switch (status) {
    case 'completed':
    case 'timed_out':
    case 'failed':
      return status;
    case 'cancelled':
      return terminated ? 'terminated' : 'canceled';
    case 'compensated':
    case 'compensation_failed':
      return 'failed';
    default:
      return 'running';
  }
}

export function promptSummary(prompt: string): string {
  return prompt.slice(0, SUMMARY_CHARACTERS);
}

export function memoryKey(tenant: string, sessionId: string, round: number): string {
  return `session:${tenant}:${sessionId}:${round}`;
}

/** By the name of a field of a Kubernetes job: what a session overrides by `volcano_<name>` of its metadata. */
const JOB_FIELDS = ['queue', 'command', 'image', 'env', 'cpu', 'memory', 'wait', 'timeout_seconds'] as const;

export function jobRequest(sessionId: string, metadata: JsonObject): JsonObject {
  const overridden = JOB_FIELDS.flatMap((name): Array<[string, Json]> => {
    const value = metadata[`volcano_${name}`];
    return value === undefined || value === null ? [] : [[name, value]];
  });
  return { job_name: workflowIdOf(sessionId), ...Object.fromEntries(overridden) };
}

/** What the approval of a session asks; undefined: it needs none. */
export function approvalRequest(metadata: JsonObject): JsonObject | undefined {
  if (metadata['requires_approval'] !== true) return undefined;
  const approvers = metadata['approvers'];
  return {
    message: 'May the session go on?',
    on_reject: 'continue',
    ...(Array.isArray(approvers) && approvers.length > 0 ? { approvers } : {}),
  };
}

/** Without what is secret or says only how the session is started. */
export function recordedMetadata({ mfa_code: _, ...metadata }: JsonObject): JsonObject {
  return metadata;
}

/** What the envelope of an `mfa_code` belongs to. */
export function mfaContext(tenantId: string, sessionId: string): string[] {
  return ['session_mfa', tenantId, sessionId];
}

const MAO_PREFIX = 'mao-';

/** Of several agents: their orchestration is named as its execution is. */
export function maoWorkflowId(runId: string): string {
  return `${MAO_PREFIX}${runId}`;
}

export function maoRunId(id: string): string {
  return id.startsWith(MAO_PREFIX) ? id.slice(MAO_PREFIX.length) : id;
}

/** Of agents together. */
export function agentsStatus(completed: number, total: number): 'completed' | 'partial' | 'failed' {
  if (completed === total) return 'completed';
  return completed === 0 ? 'failed' : 'partial';
}

/** What is shown of the output of a Kubernetes job: the end of its logs. Null: the job failed. Undefined: there are no jobs. */
export function jobResult(output: Json): JsonObject | undefined {
  if (typeof output !== 'object' || output === null || Array.isArray(output)) return { status: 'failed' };
  const { logs, status } = output;
  if (status === 'disabled') return undefined;
  return typeof logs === 'string' ? { ...output, logs: logs.slice(-LOG_CHARACTERS) } : output;
}
