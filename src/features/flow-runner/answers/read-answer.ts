/** Reads an answer to a published task. All that is wrong with it is said at once. */
import { cleanText, makeStorable } from '../../../domain/runs/storable.ts';
import { parseWith } from '../../../schemas/faults.ts';
import { guardJson } from '../../../schemas/json-guard.ts';
import type { IncomingMessage, PoisonCode } from '../transport/ports.ts';
import type { Answer } from './domain.ts';
import { type TaskFailed, taskDone, taskFailed } from './schemas.ts';

const MAX_ERROR_CHARACTERS = 10_000;

export interface TaskAnswer extends Answer {
  runId: string;
  taskId: string;
  /** Named in it: the run has to be of this tenant. */
  tenantId: string | undefined;
  /** JSON. */
  output: string | null;
  error: { code: string; message: string; retryable: boolean } | null;
}

export type ReadAnswer = { ok: true; answer: TaskAnswer } | { ok: false; code: PoisonCode; error: string };

export function readAnswer(message: IncomingMessage, outcome: Answer['outcome'], maxBytes: number): ReadAnswer {
  const { value } = message;
  if (value === null) return { ok: false, code: 'invalid_json', error: 'The message has no value' };
  if (value.length > maxBytes) {
    return { ok: false, code: 'message_too_large', error: `The message is larger than ${maxBytes} bytes` };
  }
  let sent: unknown;
  try {
    sent = JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(value));
  } catch (error) {
    return { ok: false, code: 'invalid_json', error: `The message is not JSON: ${(error as Error).message}` };
  }
  const dangers = guardJson(sent);
  const parsed = parseWith(outcome === 'done' ? taskDone : taskFailed, sent);
  if (!parsed.ok || dangers.length > 0) {
    const faults = [...dangers, ...(parsed.ok ? [] : parsed.faults)];
    const listed = faults.map(({ path, message: text }) => (path === '' ? text : `${path} ${text}`)).join('; ');
    return { ok: false, code: 'invalid_message', error: `The message is not valid: ${listed}` };
  }
  const found = parsed.value;
  const output = makeStorable('output' in found ? (found.output ?? null) : null, { maxBytes: Number.MAX_SAFE_INTEGER });
  if (!output.ok) return { ok: false, code: 'invalid_message', error: output.message };
  return {
    ok: true,
    answer: {
      ...{ outcome, runId: found.run_id, taskId: found.task_id, tenantId: found.tenant_id ?? undefined },
      ...{ leaseToken: found.lease_token ?? undefined, attempt: found.attempt ?? undefined },
      beganMs: message.timestamp.getTime() - (found.execution_time_ms ?? 0),
      output: outcome === 'done' ? output.json : null,
      error: outcome === 'failed' ? errorOf(found as TaskFailed) : null,
    },
  };
}

/** What follows is for the retry policy to say, so every failure may be tried again. */
function errorOf({ error }: TaskFailed): NonNullable<TaskAnswer['error']> {
  const named = typeof error === 'object' && error !== null ? error : undefined;
  const text = named === undefined ? error : (named['message'] ?? JSON.stringify(named));
  const message = typeof text === 'string' && text !== '' ? text : 'the task failed';
  const code = named?.['code'];
  return {
    code: typeof code === 'string' && /^[a-z0-9_.-]{1,64}$/i.test(code) ? code : 'adapter_failed',
    message: cleanText(message.slice(0, MAX_ERROR_CHARACTERS)),
    retryable: true,
  };
}
