/**
 * A worker in the user's own program: it leases the tasks of `external` actions, one topic for each adapter, and answers them.
 * A worker polls from `run` on; after `stop` (or SIGTERM) it polls no more and finishes what it has; it has ended when `run`
 * resolves. What is still going on when the grace is over is aborted and not answered: its lease runs out, and another
 * worker gets it.
 */
import type { AnyAdapter } from './adapter.ts';
import type { Client } from './client.ts';
import { executeLease } from './lease.ts';
import { isPassing } from './request.ts';
import { backoff, sleep } from './wait.ts';

export interface WorkerOptions {
  /** Adapters of any shape: `run` gets what `config` has parsed. */
  adapters: readonly AnyAdapter[];
  /** A label that shows who has a task. */
  workerId?: string;
  /** Tasks of each topic at a time: 4 unless said. */
  concurrency?: number;
  /** A worker that dies keeps its tasks from others for so long: 30 unless said. */
  leaseSeconds?: number;
  /** After `stop`, how long running tasks may take: 30 s unless said. */
  graceMs?: number;
  /** Signals of the process that stop the worker: SIGTERM and SIGINT unless said. */
  signals?: readonly string[];
  /** Faults that end nothing: a poll that failed, a lease that was lost. */
  onFault?(error: unknown): void;
}

export interface Worker {
  /** Resolves when it was stopped and everything has ended; rejects when the service rejects it (401, 403, 400). */
  run(): Promise<void>;
  stop(): void;
}

const LONGEST_POLL_SECONDS = 20;
const MOST_TASKS = 50;

/** What Node has and browsers have not. */
interface ProcessLike {
  pid?: number;
  on?(signal: string, listener: () => void): unknown;
  off?(signal: string, listener: () => void): unknown;
}

export function createWorker(client: Client, options: WorkerOptions): Worker {
  const { adapters, concurrency = 4, leaseSeconds = 30, graceMs = 30_000, signals = ['SIGTERM', 'SIGINT'] } = options;
  const { process } = globalThis as { process?: ProcessLike }; // Undefined in browsers.
  const workerId = options.workerId ?? `sdk-${process?.pid ?? ''}-${Math.random().toString(36).slice(2, 10)}`;
  const stopping = new AbortController();
  const over = new AbortController();
  const stop = () => stopping.abort(new Error('the worker stops'));
  const report = (error: unknown) => options.onFault?.(error);

  async function serve(adapter: AnyAdapter): Promise<void> {
    const active = new Set<Promise<void>>();
    let failures = 0;
    while (!stopping.signal.aborted) {
      const free = Math.min(concurrency - active.size, MOST_TASKS);
      if (free <= 0) {
        await Promise.race(active);
        continue;
      }
      try {
        const request = { topic: adapter.type, worker_id: workerId, max: free, lease_seconds: leaseSeconds };
        const { tasks } = await client.api.pollTasks(
          { body: { ...request, wait_seconds: LONGEST_POLL_SECONDS } },
          { signal: stopping.signal },
        );
        failures = 0;
        for (const task of tasks) {
          const lease = { task, leaseSeconds, leasedAt: performance.now() };
          const work = executeLease(client, adapter, lease, { shutdown: over.signal, report });
          active.add(work);
          void work.finally(() => active.delete(work));
        }
      } catch (error) {
        if (stopping.signal.aborted) break;
        if (!isPassing(error)) {
          stop();
          await Promise.all(active);
          throw error;
        }
        report(error);
        failures += 1;
        await sleep(backoff(failures), stopping.signal).catch(() => undefined);
      }
    }
    await Promise.all(active);
  }

  return {
    stop,
    async run() {
      for (const signal of signals) process?.on?.(signal, stop);
      let grace: ReturnType<typeof setTimeout> | undefined;
      const onStop = () => {
        grace = setTimeout(() => over.abort(new Error('the worker has stopped')), graceMs);
      };
      if (stopping.signal.aborted) onStop();
      stopping.signal.addEventListener('abort', onStop, { once: true });
      try {
        await Promise.all(adapters.map(serve));
      } finally {
        clearTimeout(grace);
        for (const signal of signals) process?.off?.(signal, stop);
      }
    },
  };
}
