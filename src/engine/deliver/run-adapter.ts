/** One execution of an adapter under everything that may end it: its deadline, a cancellation, the end of this worker. */
import { isEffectUnknown } from '../../domain/runs/saga.ts';
import type { Control, ExecutionCall, ExecutionResult, Executor } from '../ports/executor.ts';
import type { Trust } from '../ports/queue.ts';
import { watchHeartbeat } from './heartbeat.ts';

/** Ended from outside, without an outcome of the adapter's own. */
export type Stop =
  /** `started`: the adapter was at it. */
  { result: 'shutdown'; started: boolean } | { result: 'cancelled'; effectUnknown: boolean };

/** What is stopped may say for so long what has really happened; after that nobody knows. */
const GRACE_MS = 2_000;
/** By then it has had SHUTDOWN_GRACE_SECONDS. */
const LAST_GRACE_MS = 250;

/** A task that runs longer than this gets a row that shows it. */
const SLOW_AFTER_MS = 500;

export async function runAdapter(
  deps: { executor: Executor; control: Control; shutdown: AbortSignal; graceMs?: number },
  call: Omit<ExecutionCall, 'signal' | 'pauseDeadline'> & {
    /** The adapter has to report at least this often. */
    heartbeatMs?: number | undefined;
    trust: Trust;
    onSlow(): Promise<void>;
  },
): Promise<ExecutionResult | Stop> {
  const { heartbeatMs, onSlow, trust, ...execution } = call;
  const { timeoutMs } = execution;
  if (deps.shutdown.aborted) return { result: 'shutdown', started: false };
  const abort = new AbortController();
  let stop: ((result: ExecutionResult | Stop) => void) | undefined;
  const stopped = new Promise<ExecutionResult | Stop>((resolve) => {
    stop = resolve;
  });
  const { graceMs = GRACE_MS } = deps;
  let stopping: ExecutionResult | Stop | undefined;
  let grace: NodeJS.Timeout | undefined;
  // An adapter that does not heed its signal must not block the task: what it does after its grace is ignored.
  const end = (result: ExecutionResult | Stop, reason: string, ms = graceMs) => {
    if (stopping !== undefined) return;
    stopping = result;
    grace = setTimeout(() => stop?.(result), ms);
    // The callee can distinguish a timeout from a stop.
    abort.abort(result.result === 'failure' ? new DOMException(reason, 'TimeoutError') : new Error(reason));
  };
  const onShutdown = () =>
    end({ result: 'shutdown', started: true }, 'the worker is stopping', Math.min(graceMs, LAST_GRACE_MS));
  const seconds = timeoutMs / 1000;
  const timedOut: ExecutionResult = {
    result: 'failure',
    failure: { code: 'timeout', message: `took longer than timeout_seconds (${seconds})`, retryable: true },
  };
  const startDeadline = () =>
    setTimeout(() => end(timedOut, `took longer than ${seconds} s`), Math.min(timeoutMs, 2 ** 31 - 1));
  let deadline = startDeadline();
  let over = false;
  const heartbeat = heartbeatMs === undefined ? undefined : watchHeartbeat(call.reports, heartbeatMs, end);
  const pauseDeadline = () => {
    clearTimeout(deadline);
    heartbeat?.stop();
    return () => {
      if (over) return;
      deadline = startDeadline();
      heartbeat?.start();
    };
  };
  let marked: Promise<void> | undefined;
  const slow = setTimeout(() => {
    marked = onSlow().catch(() => undefined);
  }, SLOW_AFTER_MS);
  const unwatch = deps.control.watch(
    call.run.id,
    () => end({ result: 'cancelled', effectUnknown: true }, 'the run was cancelled, or its deadline passed'),
    {
      actionId: call.actionId,
      // It may succeed all the same, which is then known as a late effect.
      abandon: () => abort.abort(new Error('the action was settled by hand')),
    },
  );
  deps.shutdown.addEventListener('abort', onShutdown, { once: true });
  // It may succeed all the same, and that would count: so the task is not ended here.
  trust.onLost((reason) => abort.abort(new Error(reason)));
  try {
    const reports = heartbeat?.reports ?? call.reports;
    const work = deps.executor
      .execute({ ...execution, reports, signal: abort.signal, pauseDeadline })
      .then((result) => (stopping === undefined ? result : lastWord(stopping, result)));
    return await Promise.race([stopped, work]);
  } finally {
    over = true;
    clearTimeout(deadline);
    clearTimeout(grace);
    heartbeat?.stop();
    clearTimeout(slow);
    unwatch();
    deps.shutdown.removeEventListener('abort', onShutdown);
    // A mark that is written after the task went to sleep would show it as running, and nobody would wake it.
    await marked;
  }
}

/** What an adapter that was stopped says in its grace: a success has happened, and so has an end that it is sure of. */
function lastWord(stopping: ExecutionResult | Stop, result: ExecutionResult): ExecutionResult | Stop {
  if (result.result === 'output') return result;
  // It only waits for something.
  if (result.result !== 'failure')
    return stopping.result === 'cancelled' ? { ...stopping, effectUnknown: false } : stopping;
  const isSure = result.failure.definite === true && !isEffectUnknown(result.failure);
  if (stopping.result === 'cancelled') return { result: 'cancelled', effectUnknown: !isSure };
  return isSure ? result : stopping;
}
