/**
 * Threads that do what cannot be interrupted from inside, each for one tenant at a time. Work waits by tenant, and tenants have
 * their turns: however much one of them has waiting, another one's work is next but one. A thread is
 * - starting: it loads; work that waits for it is not late, however long that takes;
 * - idle: it waits for the next work;
 * - busy: it does one piece of work. Its answer makes it idle; the deadline of the work, its own death or `close` end it.
 * There are only as many as were ever needed at once, and a killed one comes back with the next work.
 */
import { Worker } from 'node:worker_threads';
import { OrchestratorError } from '../domain/errors.ts';
import { programFile } from '../program-file.ts';
import type { ThreadAnswer, ThreadData, ThreadRequest } from './cel-thread.ts';
import { onProcessorMs } from './thread-cpu.ts';

export interface ThreadPoolOptions {
  threads: number;
  maxResultBytes: number;
  /** How long work may wait for its turn, from when it came. */
  waitMs: number;
  /** How much work of one tenant may wait. */
  maxWaiting: number;
  /**
   * How long the work of one tenant may be expected to wait, by how long its work takes. What would wait longer is sent away at
   * once, but for a little that keeps the threads busy: who waits holds something that others need. Left out: nobody asks.
   */
  patienceMs?: number | undefined;
}

export interface ThreadPool {
  /**
   * The result, as JSON. After `timeoutMs` by the clock it is given up, or later, where a busy machine hardly let it run.
   * Throws an OrchestratorError: `expression_failed`; `expression_timeout`, which may pass on a machine that is less busy;
   * `expressions_busy` when it did not get its turn, and nothing was done.
   */
  run(tenantId: string, request: ThreadRequest, timeoutMs: number): Promise<string>;
  close(): Promise<void>;
}

interface Work {
  request: ThreadRequest;
  timeoutMs: number;
  resolve(result: string): void;
  reject(error: OrchestratorError): void;
  /** Until its turn. */
  late: NodeJS.Timeout | undefined;
}

interface Thread {
  worker: Worker;
  ready: boolean;
  /** Its number for the system, where that counts how long it runs. */
  id: number | undefined;
  current: (Work & { tenantId: string; startedAt: number; ranBeforeMs: number }) | undefined;
  timer: NodeJS.Timeout | undefined;
}

type Code = 'expression_failed' | 'expression_timeout' | 'expressions_busy';

const THREAD_MEMORY_MB = 64;
const THREAD_STACK_MB = 4;
/**
 * A thread that cannot load says so at once. This is for one that hangs, and says nothing of the work, so it is far beyond what
 * a machine without a core to spare takes for loading it.
 */
const START_MS = 120_000;
/** Of its time, so much on a processor makes work late; with less it goes on, up to so many times as long. */
const FAIR_SHARE = 0.5;
const MOST_TIMES = 3;
/** For who was sent away: by then there has been room for much. */
const RETRY_AFTER_SECONDS = 2;
/** Of a tenant whose work takes long, so that its next work is there when its turn comes. */
const ALWAYS_WAITING = 2;
/** How long the work of so many tenants takes is known, of those that had some last. */
const KNOWN_TENANTS = 1_000;

export function createThreadPool(options: ThreadPoolOptions): ThreadPool {
  const { threads: most, maxResultBytes, waitMs, maxWaiting, patienceMs = Number.POSITIVE_INFINITY } = options;
  const mostOfOne = Math.max(1, most - 1);
  /** By tenant, in the order of their turns; none is empty. */
  const waiting = new Map<string, Work[]>();
  /** By tenant, of its latest work: about how many milliseconds a piece takes. */
  const usual = new Map<string, number>();
  const threads = new Set<Thread>();
  let closed = false;

  function next(): void {
    while (nextInTurn() !== undefined) {
      const idle = [...threads].find(({ ready, current }) => ready && current === undefined);
      if (idle === undefined) break;
      give(idle);
    }
    // One that loads already is for the first that waits.
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

  /** The machine may be busy with other things: a thread that hardly got to run has not taken long. */
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

  /** Of those with waiting work. Nobody has all threads, so another one's work need not wait for an evaluation to end. */
  function nextInTurn(): string | undefined {
    const atWork = (tenantId: string) => [...threads].filter(({ current }) => current?.tenantId === tenantId).length;
    return [...waiting.keys()].find((tenantId) => atWork(tenantId) < mostOfOne);
  }

  /** The tenant whose turn it is goes to the end. */
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
      // Before the first thread has loaded nobody's turn can come.
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
   * When our own loop was held up the answer may be here already, unread: timers come before messages, and what
   * `setImmediate` runs after them.
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
    // While it starts nobody is current: the first that waits is who waits for it.
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
