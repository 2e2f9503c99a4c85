/**
 * Evaluates CEL within a deadline. An evaluation cannot be interrupted from inside, so it runs in a thread:
 * - no thread: nothing was evaluated yet, or the last thread was killed; the next evaluation starts one;
 * - starting: the thread loads; the deadline of the evaluation that waits for it has not begun;
 * - idle: waits for the next in the queue;
 * - busy: evaluates one expression. Its answer makes it idle; its deadline, its death or `close` end it.
 */
import { Worker } from 'node:worker_threads';
import { OrchestratorError } from '../domain/errors.ts';
import type { Json } from '../schemas/json.ts';
import type { ThreadAnswer, ThreadData, ThreadRequest } from './cel-thread.ts';
import { checkCel, namesInCel } from './check-cel.ts';

export interface Expressions {
  /**
   * Throws an OrchestratorError `expression_failed`, or `expression_timeout`, which may pass on a machine that is less
   * busy. Only the variables that the expression names are looked at.
   */
  evaluate(expression: string, variables: Record<string, Json>): Promise<Json>;
  close(): Promise<void>;
}

interface Evaluation {
  request: ThreadRequest;
  resolve(result: Json): void;
  reject(error: OrchestratorError): void;
}

const THREAD_MEMORY_MB = 64;
const THREAD_STACK_MB = 4;
/**
 * A thread that cannot load says so at once. This is for one that hangs, and says nothing of the expression, so it is far
 * beyond what a machine without a core to spare takes for loading it.
 */
const START_MS = 120_000;

export function createExpressions(options: { timeoutMs?: number; maxResultBytes: number }): Expressions {
  const { timeoutMs = 1_000, maxResultBytes } = options;
  const queue: Evaluation[] = [];
  let thread: { worker: Worker; ready: boolean } | undefined;
  let current: Evaluation | undefined;
  let timer: NodeJS.Timeout | undefined;
  let closed = false;

  function next(): void {
    if (current !== undefined || queue.length === 0) return;
    thread ??= start();
    if (!thread.ready) return;
    current = queue.shift();
    if (current === undefined) return;
    timer = unlessAnswered(timeoutMs, () => kill('expression_timeout', `it took longer than ${timeoutMs} ms`));
    thread.worker.postMessage(current.request);
  }

  /**
   * When our own loop was held up the answer may be here already, unread: timers come before messages, and what
   * `setImmediate` runs after them.
   */
  function unlessAnswered(ms: number, late: () => void): NodeJS.Timeout {
    const own = setTimeout(() => {
      setImmediate(() => {
        if (timer === own) late();
      });
    }, ms);
    return own;
  }

  function settleTimer(): void {
    clearTimeout(timer);
    timer = undefined;
  }

  function start(): { worker: Worker; ready: boolean } {
    const worker = new Worker(threadFile(), {
      workerData: { maxResultBytes } satisfies ThreadData,
      resourceLimits: {
        maxOldGenerationSizeMb: THREAD_MEMORY_MB,
        maxYoungGenerationSizeMb: 16,
        stackSizeMb: THREAD_STACK_MB,
      },
      env: {},
      execArgv: [],
    });
    worker.unref();
    worker.on('message', (answer: ThreadAnswer) => {
      if (thread?.worker === worker) receive(answer);
    });
    worker.on('error', (error: NodeJS.ErrnoException) => {
      if (thread?.worker !== worker) return;
      if (thread.ready) kill('expression_failed', 'it needs too much memory');
      else kill('expression_timeout', `the evaluator did not start (${error.code ?? error.name})`);
    });
    timer = unlessAnswered(START_MS, () =>
      kill('expression_timeout', `the evaluator did not start within ${START_MS / 1_000} s`),
    );
    return { worker, ready: false };
  }

  function receive(answer: ThreadAnswer): void {
    settleTimer();
    if ('ready' in answer) {
      if (thread !== undefined) thread.ready = true;
    } else {
      const done = current;
      current = undefined;
      if ('fault' in answer) done?.reject(failed(answer.fault));
      else done?.resolve(JSON.parse(answer.result) as Json); // The thread's own JSON.stringify made it.
    }
    next();
  }

  function kill(code: 'expression_failed' | 'expression_timeout', reason: string): void {
    settleTimer();
    // While it starts nobody is current: the first in the queue is who waits for it.
    const guilty = current ?? queue.shift();
    const dying = thread;
    current = undefined;
    thread = undefined;
    guilty?.reject(failed(reason, code));
    void dying?.worker.terminate();
    next();
  }

  return {
    evaluate(expression, variables) {
      const fault = checkCel(expression);
      if (fault !== undefined) return Promise.reject(failed(fault));
      if (closed) return Promise.reject(failed('the evaluator is closed'));
      const named = namesInCel(expression).filter((name) => Object.hasOwn(variables, name));
      const used = Object.fromEntries(named.map((name) => [name, variables[name] ?? null]));
      return new Promise<Json>((resolve, reject) => {
        queue.push({ request: { expression, variables: used }, resolve, reject });
        next();
      });
    },
    async close() {
      closed = true;
      settleTimer();
      const waiting = [...(current === undefined ? [] : [current]), ...queue.splice(0)];
      const dying = thread;
      current = undefined;
      thread = undefined;
      for (const evaluation of waiting) evaluation.reject(failed('the evaluator was closed'));
      await dying?.worker.terminate();
    },
  };
}

function failed(
  reason: string,
  code: 'expression_failed' | 'expression_timeout' = 'expression_failed',
): OrchestratorError {
  return new OrchestratorError(code, `The expression failed: ${reason}`);
}

/** A thread cannot load TypeScript: under a test runner, which runs the sources, the compiled thread is used. */
function threadFile(): URL {
  return import.meta.url.endsWith('.ts')
    ? new URL('../../dist/src/expressions/cel-thread.js', import.meta.url)
    : new URL('./cel-thread.js', import.meta.url);
}
