/**
 * The process of isolated adapters: one task at a time, with a context that forwards every call to the worker. It has no
 * connection, no secret and no environment of the worker's, and may be killed at any moment.
 */
import { writeFileSync } from 'node:fs';
import { makeStorable } from '../src/domain/runs/storable.ts';
import type { OperationCall } from '../src/domain/service-operation.ts';
import { firstOf } from '../src/engine/deliver/time-limit.ts';
import type { ExecutionResult } from '../src/engine/ports/executor.ts';
import type { Json } from '../src/schemas/json.ts';
import { startWatchdog } from '../src/watchdog/watchdog.ts';
import type { AdapterContext, AdapterFetchInit, AdapterResponse, ServicePermit } from './adapter.ts';
import { park, runAdapterIn, sleeper } from './execution.ts';
import {
  type FetchAnswer,
  type FromChild,
  HEARTBEAT_EVERY_MS,
  type IsolatedResult,
  type IsolatedTask,
  type Question,
  revivedError,
  type ToChild,
  UNDER_TEST,
} from './isolation-protocol.ts';
import { adaptersFor } from './shipped-adapters.ts';

const adapters = new Map(
  adaptersFor({ underTest: process.argv.includes(UNDER_TEST) }).map((adapter) => [adapter.type, adapter]),
);
const waiting = new Map<number, { resolve(value: unknown): void; reject(error: Error): void }>();
let questions = 0;
let abort = new AbortController();

function say(message: FromChild): void {
  process.send?.(message);
}

function ask(what: Question, signal?: AbortSignal): Promise<unknown> {
  questions += 1;
  const question = questions;
  return new Promise((resolve, reject) => {
    signal?.throwIfAborted();
    const onAbort = () => {
      say({ say: 'drop', question });
      settle(() => reject(signal?.reason instanceof Error ? signal.reason : new Error('aborted')));
    };
    const settle = (end: () => void) => {
      signal?.removeEventListener('abort', onAbort);
      waiting.delete(question);
      end();
    };
    waiting.set(question, {
      resolve: (value) => settle(() => resolve(value)),
      reject: (error) => settle(() => reject(error)),
    });
    signal?.addEventListener('abort', onAbort, { once: true });
    say({ say: 'ask', question, what });
  });
}

function contextOf(task: IsolatedTask, signal: AbortSignal): AdapterContext {
  const log = (level: keyof AdapterContext['log']) => (message: string, data?: object) =>
    say({ say: 'log', level, message, data: plain(data) });
  const now = () => new Date();
  const { idempotencyKey, compensates, attempt, run, correlationId, traceparent, scope, wakeAt } = task;
  return {
    signal,
    log: { debug: log('debug'), info: log('info'), warn: log('warn'), error: log('error') },
    idempotencyKey,
    compensates,
    attempt,
    run,
    correlationId,
    traceparent,
    scope,
    wakeAt,
    progress: (percent, message) => say({ say: 'report', report: 'progress', percent, message }),
    heartbeat: () => say({ say: 'report', report: 'heartbeat' }),
    stream: (chunk) =>
      say({ say: 'report', report: 'stream', chunk: typeof chunk === 'string' ? chunk : plain(chunk, null) }),
    now,
    sleepUntil: sleeper(wakeAt, now),
    park,
    fetch: (url, init = {}) => fetchThrough(url, init, signal),
    service: async (name) =>
      (await ask({ ask: 'service', name }, signal)) as { name: string; baseUrl: string } | undefined,
    operation: async (service, id, inputs) =>
      (await ask({ ask: 'operation', service, id, inputs }, signal)) as OperationCall,
    awaitRateLimit: async (service) => void (await ask({ ask: 'turn', service }, signal)),
    acquire: async (service, how) => (await ask({ ask: 'acquire', service, how }, signal)) as ServicePermit | undefined,
    release: async (permit, outcome) => void (await ask({ ask: 'release', permit: permit, outcome })),
    setting: (name) => task.settings[name],
    evaluate: async (expression, variables) => (await ask({ ask: 'evaluate', expression, variables }, signal)) as Json, // The evaluator gives nothing else.
  };
}

async function fetchThrough(url: string, init: AdapterFetchInit, task: AbortSignal): Promise<AdapterResponse> {
  const { signal: own, ...rest } = init;
  const signal = own === undefined ? task : firstOf(task, own);
  const { status, headers, body, hasBody } = (await ask({ ask: 'fetch', url, init: rest }, signal)) as FetchAnswer;
  async function* chunks() {
    for (;;) {
      const chunk = (await ask({ ask: 'part', body }, signal)) as Uint8Array | undefined;
      if (chunk === undefined) return;
      yield chunk;
    }
  }
  return {
    status,
    headers,
    text: async () => (await ask({ ask: 'text', body }, signal)) as string,
    body: hasBody ? chunks() : undefined,
  };
}

/** What is logged has to survive the way; an error has no fields of its own. */
function plain(data: unknown, absent: Json = {}): Json {
  try {
    return JSON.parse(
      JSON.stringify(data ?? absent, (_key, value: unknown) => {
        if (typeof value === 'bigint') return value.toString();
        return value instanceof Error ? { name: value.name, message: value.message, stack: value.stack } : value;
      }),
    ) as Json; // JSON.parse gives nothing else.
  } catch {
    return { unreadable: true };
  }
}

async function run(task: IsolatedTask): Promise<void> {
  abort = new AbortController();
  const adapter = adapters.get(task.actionType);
  const result: ExecutionResult =
    adapter === undefined
      ? failed('input_invalid', `this worker has no adapter '${task.actionType}'`)
      : await runAdapterIn(adapter, task.input, contextOf(task, abort.signal));
  say({ say: 'result', result: portable(result, task.maxOutputBytes) });
}

function portable(result: ExecutionResult, maxBytes: number): IsolatedResult {
  if (result.result !== 'output') return result;
  const storable = makeStorable(result.output, { maxBytes });
  return storable.ok ? { result: 'output', json: storable.json } : failed(storable.code, storable.message);
}

function failed(code: string, message: string): Exclude<ExecutionResult, { result: 'output' }> {
  return { result: 'failure', failure: { code, message, retryable: false } };
}

process.on('message', (message: ToChild) => {
  switch (message.say) {
    case 'run':
      void run(message.task);
      break;
    case 'abort':
      abort.abort(new Error(message.reason));
      break;
    case 'answer':
      waiting.get(message.question)?.resolve(message.value);
      break;
    case 'fault':
      waiting.get(message.question)?.reject(revivedError(message.error));
      break;
  }
});
// Ctrl-C reaches all processes of a terminal: what becomes of a task is the worker's to say.
process.on('SIGINT', () => undefined);
process.on('SIGTERM', () => undefined);
process.on('disconnect', () => process.exit(0));
// A worker that is gone cannot kill a child whose adapter never gives the event loop back.
startWatchdog({ parentPid: process.ppid });
try {
  // When the machine runs out of memory the kernel shall take this process, not the worker.
  writeFileSync('/proc/self/oom_score_adj', '1000');
} catch {
  // Only Linux has it.
}
setInterval(() => say({ say: 'beat' }), HEARTBEAT_EVERY_MS);
say({ say: 'ready' });
