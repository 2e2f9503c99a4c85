/**
 * Threads for work that cannot be interrupted from inside, each for one tenant at a time. Each tenant has a queue, and the
 * queues are served round robin: however much work one tenant has, the work of another one is at most one item behind. A thread is
 * - starting: it loads; work that waits for it does not time out, however long that takes;
 * - idle: it waits for work;
 * - busy: it runs one item of work. Its answer makes it idle; the deadline of the work, its own death or `close` end it.
 * Threads are started on demand, and a killed one is replaced when there is work.
 */
import { Worker } from 'node:worker_threads';
import { OrchestratorError } from '../domain/errors.ts';
import { programFile } from '../program-file.ts';
import type { ThreadAnswer, ThreadData, ThreadRequest } from './cel-thread.ts';
import { onProcessorMs } from './thread-cpu.ts';

export interface ThreadPoolOptions {
  threads: number;
  maxResultBytes: number;
  /** The maximum wait of work, from its arrival until it runs. */
  waitMs: number;
  /** The maximum length of the queue of one tenant. */
  maxWaiting: number;
  /**
   * The maximum expected wait in the queue of one tenant, estimated from its recent work. Work beyond that is rejected at once,
   * except for a little that keeps the threads busy, because callers that wait hold resources. Undefined: no limit.
   */
  patienceMs?: number | undefined;
}

export interface ThreadPool {
  /**
   * The result, as JSON. It times out after `timeoutMs` of wall time, or later if a busy machine hardly let it run.
   * Throws an OrchestratorError: `expression_failed`; `expression_timeout`, which may pass on a machine that is less busy;
   * `expressions_busy` when it was not started.
   */
  run(tenantId: string, request: ThreadRequest, timeoutMs: number): Promise<string>;
  close(): Promise<void>;
}

interface Work {
  request: ThreadRequest;
  timeoutMs: number;
  resolve(result: string): void;
  reject(error: OrchestratorError): void;
  /** The timer of its maximum wait, until it runs. */
  late: NodeJS.Timeout | undefined;
}

interface Thread {
  worker: Worker;
  ready: boolean;
  /** Its id in the operating system, where that counts its processor time. */
  id: number | undefined;
  current: (Work & { tenantId: string; startedAt: number; ranBeforeMs: number }) | undefined;
  timer: NodeJS.Timeout | undefined;
}

type Code = 'expression_failed' | 'expression_timeout' | 'expressions_busy';

const THREAD_MEMORY_MB = 64;
const THREAD_STACK_MB = 4;
/**
 * A thread that cannot load fails at once. This timeout is for one that hangs; it is far longer than loading takes on a machine
 * without a spare core.
 */
const START_MS = 120_000;
/** Work that had less than this share of its timeout on a processor continues, up to `MOST_TIMES` its timeout. */
const FAIR_SHARE = 0.5;
const MOST_TIMES = 3;
/** The Retry-After of rejected work. */
const RETRY_AFTER_SECONDS = 2;
/** The minimum queue length of a tenant with slow work, so that its threads stay busy. */
const ALWAYS_WAITING = 2;
/** The durations of the most recent tenants are cached. */
const KNOWN_TENANTS = 1_000;

export function createThreadPool(options: ThreadPoolOptions): ThreadPool {
  const { threads: most, maxResultBytes, waitMs, maxWaiting, patienceMs = Number.POSITIVE_INFINITY } = options;
  const mostOfOne = Math.max(1, most - 1);
  /** The queues by tenant, in round-robin order; none is empty. */
  const waiting = new Map<string, Work[]>();
  /** The moving average of the duration of an item in milliseconds, by tenant. */
  const usual = new Map<string, number>();
  const threads = new Set<Thread>();
  let closed = false;

  function next(): void {
    while (nextInTurn() !== undefined) {
      const idle = [...threads].find(({ ready, current }) => ready && current === undefined);
      if (idle === undefined) break;
      give(idle);
    }
    // A thread that is starting serves the first work in the queue.
    const starting = [...threads].filter(({ ready }) => !ready).length;
    if (nextInTurn() !== undefined && starting === 0 && threads.size < most) threads.add(start());
  }

  function give(thread: Thread): void {
    const work = take();
    if (work === undefined) return;
    clearTimeout(work.late);
    thread.current = { ...work, startedAt: performance.now(), ranBeforeMs: onProcessorMs(thread.id) ?? 0 };
    const noticedMs = Math.min(patienceMs, work.timeoutMs);
    unlessAnswered(thread, noticedMs, () => {
      learn(work.tenantId, noticedMs);
      killWhenOver(thread, work.timeoutMs);
    });
    thread.worker.postMessage(work.request);
  }

  /** On a busy machine a thread may hardly run, and that time does not count in full. */
  function killWhenOver(thread: Thread, timeoutMs: number): void {
    const { startedAt = 0, ranBeforeMs = 0 } = thread.current ?? {};
    const tookMs = performance.now() - startedAt;
    const ran = onProcessorMs(thread.id);
    const ranMs = ran === undefined ? tookMs : ran - ranBeforeMs;
    const dueMs = Math.max(timeoutMs - tookMs, timeoutMs * FAIR_SHARE - ranMs);
    const leftMs = Math.min(dueMs, timeoutMs * MOST_TIMES - tookMs);
    if (leftMs >= 1) unlessAnswered(thread, leftMs, () => killWhenOver(thread, timeoutMs));
    else kill(thread, 'expression_timeout', `it took longer than ${timeoutMs} ms`);
  }

  /** The next tenant with work. No tenant gets all threads, so that no other one has to wait for an evaluation to end. */
  function nextInTurn(): string | undefined {
    const atWork = (tenantId: string) => [...threads].filter(({ current }) => current?.tenantId === tenantId).length;
    return [...waiting.keys()].find((tenantId) => atWork(tenantId) < mostOfOne);
  }

  /** Takes the next work and moves its tenant to the end. */
  function take(): (Work & { tenantId: string }) | undefined {
    const tenantId = nextInTurn();
    if (tenantId === undefined) return undefined;
    const works = waiting.get(tenantId) ?? [];
    const work = works.shift();
    waiting.delete(tenantId);
    if (works.length > 0) waiting.set(tenantId, works);
    return work && { ...work, tenantId };
  }

  function roomFor(tenantId: string): number {
    return Math.min(maxWaiting, Math.max(ALWAYS_WAITING, Math.floor(patienceMs / (usual.get(tenantId) ?? 0))));
  }

  function learn(tenantId: string, tookMs: number): void {
    const before = usual.get(tenantId) ?? tookMs;
    usual.delete(tenantId);
    usual.set(tenantId, (before + tookMs) / 2);
    const [oldest] = usual.keys();
    if (usual.size > KNOWN_TENANTS && oldest !== undefined) usual.delete(oldest);
    const works = waiting.get(tenantId) ?? [];
    for (const work of works.splice(roomFor(tenantId))) {
      clearTimeout(work.late);
      work.reject(failed(`the work of the tenant takes ${Math.round(tookMs)} ms a piece`, 'expressions_busy'));
    }
  }

  function watchWait(tenantId: string, work: Work): void {
    work.late = setTimeout(() => {
      // No work can run before the first thread has loaded.
      if (![...threads].some(({ ready }) => ready)) {
        watchWait(tenantId, work);
        return;
      }
      const works = waiting.get(tenantId) ?? [];
      works.splice(works.indexOf(work), 1);
      if (works.length === 0) waiting.delete(tenantId);
      work.reject(failed(`it did not get its turn within ${waitMs} ms`, 'expressions_busy'));
    }, waitMs);
  }

  /**
   * When our own event loop was blocked, the answer may have arrived unread: timers run before messages, and `setImmediate`
   * after them.
   */
  function unlessAnswered(thread: Thread, ms: number, late: () => void): void {
    const own = setTimeout(() => {
      setImmediate(() => {
        if (thread.timer === own) late();
      });
    }, ms);
    thread.timer = own;
  }

  function settleTimer(thread: Thread): void {
    clearTimeout(thread.timer);
    thread.timer = undefined;
  }

  function start(): Thread {
    const worker = new Worker(programFile('src/expressions/cel-thread.js'), {
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
    const thread: Thread = { worker, ready: false, id: undefined, current: undefined, timer: undefined };
    worker.on('message', (answer: ThreadAnswer) => {
      if (threads.has(thread)) receive(thread, answer);
    });
    worker.on('error', (error: NodeJS.ErrnoException) => {
      if (!threads.has(thread)) return;
      if (thread.ready) kill(thread, 'expression_failed', 'it needs too much memory');
      else kill(thread, 'expression_timeout', `the evaluator did not start (${error.code ?? error.name})`);
    });
    unlessAnswered(thread, START_MS, () =>
      kill(thread, 'expression_timeout', `the evaluator did not start within ${START_MS / 1_000} s`),
    );
    return thread;
  }

  function receive(thread: Thread, answer: ThreadAnswer): void {
    settleTimer(thread);
    if ('ready' in answer) {
      thread.ready = true;
      thread.id = answer.thread;
    } else {
      const done = thread.current;
      thread.current = undefined;
      if (done !== undefined) learn(done.tenantId, performance.now() - done.startedAt);
      if ('fault' in answer) done?.reject(failed(answer.fault));
      else done?.resolve(answer.result);
    }
    next();
  }

  function kill(thread: Thread, code: Code, reason: string): void {
    settleTimer(thread);
    // A thread that is starting has no current work: the first work in the queue waits for it.
    const guilty = thread.current ?? take();
    clearTimeout(guilty?.late);
    threads.delete(thread);
    guilty?.reject(failed(reason, code));
    void thread.worker.terminate();
    next();
  }

  return {
    run(tenantId, request, timeoutMs) {
      if (closed) return Promise.reject(failed('the evaluator is closed'));
      const works = waiting.get(tenantId) ?? [];
      if (works.length >= roomFor(tenantId)) {
        return Promise.reject(failed(`${works.length} others of the tenant wait already`, 'expressions_busy'));
      }
      return new Promise((resolve, reject) => {
        const work: Work = { request, timeoutMs, resolve, reject, late: undefined };
        works.push(work);
        waiting.set(tenantId, works);
        watchWait(tenantId, work);
        next();
      });
    },
    async close() {
      closed = true;
      const dying = [...threads];
      const works = [...dying.flatMap(({ current }) => current ?? []), ...[...waiting.values()].flat()];
      threads.clear();
      waiting.clear();
      for (const thread of dying) settleTimer(thread);
      for (const work of works) {
        clearTimeout(work.late);
        work.reject(failed('the evaluator was closed'));
      }
      await Promise.all(dying.map(({ worker }) => worker.terminate()));
    },
  };
}

function failed(reason: string, code: Code = 'expression_failed'): OrchestratorError {
  if (code !== 'expressions_busy') return new OrchestratorError(code, `The expression failed: ${reason}`);
  const detail = `The expression was not looked at: ${reason}`;
  return new OrchestratorError(code, detail, { retryAfterSeconds: RETRY_AFTER_SECONDS });
}
