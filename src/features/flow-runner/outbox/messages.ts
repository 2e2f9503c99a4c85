/** The messages that go out, field by field as the older flow runner sent them. */
import type { Json, JsonObject } from '../../../schemas/json.ts';
import type { OutgoingMessage } from '../transport/ports.ts';

/** Of the run that a message is about. */
export interface MessageRun {
  id: string;
  tenantId: string;
  userId: string;
  /** The run’s id stands for one that was not given. */
  correlationId: string | null;
  executionContext?: JsonObject | null | undefined;
}

export interface TaskToPublish {
  run: MessageRun;
  taskId: string;
  handler: string;
  inputs: Json;
  /** From 1, as everywhere here; the message counts from 0. */
  attempt: number;
  maxAttempts: number;
  timeoutSeconds: number;
  leaseToken: string;
  traceparent: string;
  createdAt: Date;
}

export interface DeadTask {
  run: MessageRun;
  taskId: string;
  handler: string;
  inputs: Json;
  /** How many were made. */
  attempts: number;
  maxAttempts: number;
  error: string;
  createdAt: Date;
  failedAt: Date;
}

export interface MessageLimits {
  topic: string;
  maxBytes: number;
  /** Where the inputs of an attempt are, for who has its message without them. */
  inputsRef(runId: string, taskId: string, attempt: number): string;
}

/** What a broker adds to key, value and headers, generously. */
const OVERHEAD_BYTES = 256;

/** Claim check: what is too large carries a link to its inputs instead of them, and to its context where it has to. */
export function taskMessage(task: TaskToPublish, limits: MessageLimits): OutgoingMessage {
  const { run, taskId, handler, inputs, attempt, maxAttempts, timeoutSeconds, createdAt } = task;
  const number = attempt - 1;
  const headers = {
    traceparent: task.traceparent,
    run_id: run.id,
    attempt: String(number),
    lease_token: task.leaseToken,
  };
  const head = { run_id: run.id, task_id: taskId, handler };
  const tail = {
    attempt: number,
    max_retries: maxAttempts - 1,
    timeout: timeoutSeconds,
    correlation_id: run.correlationId ?? run.id,
    tenant_id: run.tenantId,
    user_id: run.userId,
  };
  const context = { execution_context: run.executionContext ?? {} };
  const last = { created_at: createdAt.toISOString(), ...(number > 0 ? { is_retry: true } : {}) };
  const ref = { inputs_ref: limits.inputsRef(run.id, taskId, number) };
  return smallest({ topic: limits.topic, key: taskId, headers }, limits.maxBytes, [
    { ...head, inputs: inputs ?? {}, ...tail, ...context, ...last },
    { ...head, ...ref, ...tail, ...context, ...last },
    { ...head, ...ref, ...tail, ...last },
  ]);
}

export function deadLetterMessage(task: DeadTask, limits: MessageLimits): OutgoingMessage {
  const { run, taskId, handler, inputs, attempts, maxAttempts, error, createdAt, failedAt } = task;
  const head = { run_id: run.id, task_id: taskId, handler };
  const tail = { attempts, max_retries: maxAttempts - 1 };
  const last = {
    correlation_id: run.correlationId ?? run.id,
    tenant_id: run.tenantId,
    user_id: run.userId,
    created_at: createdAt.toISOString(),
    moved_to_dlq_at: failedAt.toISOString(),
  };
  const ref = { inputs_ref: limits.inputsRef(run.id, taskId, attempts - 1) };
  const shortened = error.slice(0, SHORT_ERROR_CHARACTERS);
  return smallest({ topic: limits.topic, key: taskId, headers: { run_id: run.id } }, limits.maxBytes, [
    { ...head, inputs: inputs ?? {}, ...tail, error, ...last },
    { ...head, ...ref, ...tail, error, ...last },
    { ...head, ...ref, ...tail, error: shortened, ...last },
  ]);
}

/** Of an error that does not fit otherwise. */
const SHORT_ERROR_CHARACTERS = 200;

/** The first that fits, else the last. */
function smallest(
  message: Omit<OutgoingMessage, 'value'>,
  maxBytes: number,
  values: readonly [JsonObject, ...JsonObject[]],
): OutgoingMessage {
  const beside = Buffer.byteLength(message.key) + Buffer.byteLength(JSON.stringify(message.headers)) + OVERHEAD_BYTES;
  let value = '';
  for (const one of values) {
    value = JSON.stringify(one);
    if (Buffer.byteLength(value) + beside <= maxBytes) break;
  }
  return { ...message, value };
}
