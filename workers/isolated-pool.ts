/**
 * The children of a worker. At most `limit` run at a time, each with one task; the others wait in order, and their
 * deadlines with them. A few idle ones are kept. A task that is suspected of having ended workers gets a child that nobody
 * used before and nobody uses after, so that what happens to it is its own doing.
 */
import { errorMessage } from '../src/domain/texts/error-message.ts';
import type { ExecutionResult } from '../src/engine/ports/executor.ts';
import type { Logger } from '../src/engine/ports/logger.ts';
import type { Json } from '../src/schemas/json.ts';
import { type ChildContext, type IsolatedProcess, startIsolatedProcess, wordsOf } from './isolated-process.ts';
import type { IsolatedResult, IsolatedTask } from './isolation-protocol.ts';

export interface IsolatedPoolOptions {
  limit: number;
  memoryMb: number;
  environment: Readonly<Record<string, string | undefined>>;
  underTest: boolean;
  /** A suspect's event loop may stand still for that long: for longer it would have cost a worker its locks. */
  maxBlockMs: number;
  log: Logger;
  abortGraceMs?: number;
}

export interface IsolatedCall {
  task: IsolatedTask;
  context: ChildContext;
  /** It has cost workers before. */
  suspect: boolean;
  /** Its adapter is isolated by its author's wish, and may block. */
  mayBlock: boolean;
  /** Pauses the deadline until what it returns is called. */
  holdDeadline(): () => void;
}

export interface IsolatedPool {
  run(call: IsolatedCall): Promise<ExecutionResult>;
  /** Kills what still runs. */
  close(): Promise<void>;
}

const MAX_IDLE = 2;
/** What leaks in a library must not add up for ever. */
const TASKS_PER_PROCESS = 500;
const ABORT_GRACE_MS = 500;
const START_AGAIN_MS = 1_000;

export function createIsolatedPool(options: IsolatedPoolOptions): IsolatedPool {
  const { limit, log, abortGraceMs = ABORT_GRACE_MS } = options;
  const idle: IsolatedProcess[] = [];
  const all = new Set<IsolatedProcess>();
  const queue: Array<() => void> = [];
  let taken = 0;
  let closed = false;

  async function slot(signal: AbortSignal): Promise<void> {
    if (taken < limit) {
      taken += 1;
      return;
    }
    await new Promise<void>((resolve, reject) => {
      const onAbort = () => {
        queue.splice(queue.indexOf(enter), 1);
        reject(signal.reason);
      };
      const enter = () => {
        signal.removeEventListener('abort', onAbort);
        resolve();
      };
      signal.addEventListener('abort', onAbort, { once: true });
      queue.push(enter);
    });
  }

  /** Hands the slot to who waits longest. */
  function freeSlot(): void {
    const next = queue.shift();
    if (next === undefined) taken -= 1;
    else next();
  }

  function start(): IsolatedProcess {
    const child = startIsolatedProcess({ ...options, abortGraceMs });
    all.add(child);
    void child.ended.then(() => {
      all.delete(child);
      const at = idle.indexOf(child);
      if (at >= 0) idle.splice(at, 1);
    });
    return child;
  }

  /** It is not the task's fault when no process can be had: it waits until one can. */
  async function take(unused: boolean, signal: AbortSignal): Promise<IsolatedProcess> {
    for (;;) {
      signal.throwIfAborted();
      const warm = unused ? undefined : idle.pop();
      if (warm?.isAlive() === true) return warm;
      const child = start();
      try {
        await child.ready;
        return child;
      } catch (error) {
        log.error('isolated_process_not_started', { error: errorMessage(error) });
        await new Promise((resolve) => setTimeout(resolve, START_AGAIN_MS));
      }
    }
  }

  function giveBack(child: IsolatedProcess, suspect: boolean): void {
    const reuse = child.isAlive() && !suspect && !closed && child.tasks() < TASKS_PER_PROCESS && idle.length < MAX_IDLE;
    if (reuse) idle.push(child);
    else if (child.isAlive()) child.kill('it is not needed any more');
  }

  return {
    async run({ task, context, suspect, mayBlock, holdDeadline }) {
      const { signal } = context;
      const goOn = holdDeadline();
      try {
        await slot(signal);
      } catch {
        return aborted();
      }
      try {
        const child = await take(suspect, signal).catch(() => undefined);
        if (child === undefined) return aborted();
        goOn();
        const maxBlockMs = suspect && !mayBlock ? options.maxBlockMs : undefined;
        const result = await child.run(task, context, maxBlockMs);
        giveBack(child, suspect);
        return signal.aborted && result.result !== 'output' ? aborted() : settled(result, task, suspect, context.log);
      } finally {
        freeSlot();
      }
    },
    async close() {
      closed = true;
      const ends = [...all].map((child) => child.ended);
      for (const child of all) child.kill('the worker ends');
      await Promise.all(ends);
    },
  };
}

function settled(
  result: Awaited<ReturnType<IsolatedProcess['run']>>,
  task: IsolatedTask,
  suspect: boolean,
  log: ChildContext['log'],
): ExecutionResult {
  if (result.result !== 'died') return revived(result);
  const { code, signal, killed, words } = result.end;
  const how = wordsOf(result.end);
  const { id, actionId } = task.run;
  log.warn('isolated_process_died', { run_id: id, action_id: actionId, handler: task.actionType, how, words });
  const details: Json = { signal, exit_code: code, ...(killed === undefined ? {} : { killed }) };
  // A suspect that ends a process of its own is guilty: another attempt would only be one more process. Any other may
  // have met a memory limit or a bug that comes and goes, and has cost nobody anything.
  const failure = {
    code: 'worker_crashed',
    message: `the process of the task ended: ${how}`,
    retryable: !suspect,
    details,
  };
  return { result: 'failure', failure };
}

function revived(result: IsolatedResult): ExecutionResult {
  if (result.result !== 'output') return result;
  return { result: 'output', output: JSON.parse(result.json) };
}

/** The task has been given up already: nobody reads this. */
function aborted(): ExecutionResult {
  return { result: 'failure', failure: { code: 'cancelled', message: 'given up before it began', retryable: true } };
}
