/**
 * What a worker and an isolated child say to each other, over the channel of `fork` (structured clones). The child has
 * no data and no access of its own: it forwards each call of the context to the worker.
 */

import { isErrorCode, OrchestratorError } from '../src/domain/errors.ts';
import type { CallInputs } from '../src/domain/service-operation.ts';
import type { ExecutionResult } from '../src/engine/ports/executor.ts';
import type { LogLevel } from '../src/engine/ports/logger.ts';
import type { Json } from '../src/schemas/json.ts';
import {
  type AdapterContext,
  type AdapterSetting,
  type CallOutcome,
  NonRetryableError,
  RetryableError,
  type ServicePermit,
} from './adapter.ts';
import { Sleep } from './execution.ts';

/** An argument of the child: it has the adapters for tests too. */
export const UNDER_TEST = '--under-test';
export const HEARTBEAT_EVERY_MS = 500;

/** Everything of the context that is plain data. */
export interface IsolatedTask
  extends Pick<
    AdapterContext,
    'idempotencyKey' | 'compensates' | 'attempt' | 'run' | 'correlationId' | 'traceparent' | 'scope' | 'wakeAt'
  > {
  actionType: string;
  input: Json;
  settings: Partial<Record<AdapterSetting, string>>;
  maxOutputBytes: number;
}

export type Question =
  | {
      ask: 'fetch';
      url: string;
      init: { method?: string; headers?: Record<string, string>; body?: string; trusted?: boolean };
    }
  /** Of the body of an answer: all of it, or its next part. */
  | { ask: 'text'; body: number }
  | { ask: 'part'; body: number }
  | { ask: 'service'; name: string }
  | { ask: 'turn'; service: string }
  | { ask: 'operation'; service: string; id: string; inputs: CallInputs }
  | { ask: 'acquire'; service: string; how: Parameters<AdapterContext['acquire']>[1] }
  | { ask: 'release'; permit: ServicePermit; outcome: CallOutcome }
  | { ask: 'evaluate'; expression: string; variables: Record<string, Json> };

export interface FetchAnswer {
  status: number;
  headers: Record<string, string>;
  body: number;
  hasBody: boolean;
}

/** The output travels as the JSON text that is fit to be stored: what cannot be stored need not be sent. */
export type IsolatedResult = Exclude<ExecutionResult, { result: 'output' }> | { result: 'output'; json: string };

export type ToChild =
  | { say: 'run'; task: IsolatedTask }
  | { say: 'abort'; reason: string }
  | { say: 'answer'; question: number; value: unknown }
  | { say: 'fault'; question: number; error: PlainError };

export type FromChild =
  | { say: 'ready' }
  /** Its event loop moves. */
  | { say: 'beat' }
  | { say: 'ask'; question: number; what: Question }
  /** The adapter has aborted its own request. */
  | { say: 'drop'; question: number }
  | { say: 'report'; report: 'progress'; percent: number; message: string | undefined }
  | { say: 'report'; report: 'heartbeat' }
  | { say: 'report'; report: 'stream'; chunk: unknown }
  | { say: 'log'; level: LogLevel; message: string; data: Json }
  | { say: 'result'; result: IsolatedResult };

/** An error on its way to the other side, where it is of the same kind again. */
export interface PlainError {
  kind: 'retryable' | 'non_retryable' | 'own' | 'sleep' | 'other';
  name: string;
  message: string;
  code: string | undefined;
  retryAfterMs: number | undefined;
  until?: Date;
}

export function plainError(error: unknown): PlainError {
  const { name, message } = error instanceof Error ? error : { name: 'Error', message: String(error) };
  const code = error instanceof Error && 'code' in error && typeof error.code === 'string' ? error.code : undefined;
  const base = { name, message, code, retryAfterMs: undefined };
  if (error instanceof RetryableError) return { ...base, kind: 'retryable', retryAfterMs: error.retryAfterMs };
  if (error instanceof NonRetryableError) return { ...base, kind: 'non_retryable' };
  if (error instanceof OrchestratorError) return { ...base, kind: 'own' };
  if (error instanceof Sleep) return { ...base, kind: 'sleep', until: error.until };
  return { ...base, kind: 'other' };
}

export function revivedError({ kind, name, message, code, retryAfterMs, until }: PlainError): Error {
  const codeOption = code === undefined ? {} : { code };
  switch (kind) {
    case 'retryable':
      return new RetryableError(message, { ...codeOption, ...(retryAfterMs === undefined ? {} : { retryAfterMs }) });
    case 'non_retryable':
      return new NonRetryableError(message, codeOption);
    case 'own':
      return new OrchestratorError(code !== undefined && isErrorCode(code) ? code : 'internal', message);
    case 'sleep':
      if (until !== undefined) return new Sleep(until);
      return new Error(message);
    case 'other':
      return Object.assign(new Error(message), { name }, codeOption);
  }
}
