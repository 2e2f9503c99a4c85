/**
 * Deadlines: of work that is waited for, and as signals.
 *
 * Signals that abort with the first of several. `AbortSignal.any` alone is not enough for deadlines: in Node 20 a timeout
 * that only `any` knows is held weakly, and one that is collected never comes.
 */

const MAX_TIMER_MS = 2 ** 31 - 1;

/** Aborts with the first of the others, or with a `TimeoutError` when so long has passed. It does not keep the process. */
export function within(ms: number, ...others: AbortSignal[]): AbortSignal {
  const late = new AbortController();
  const abort = () => late.abort(new DOMException(`took longer than ${ms} ms`, 'TimeoutError'));
  // The timer holds what it aborts.
  setTimeout(abort, Math.min(ms, MAX_TIMER_MS)).unref();
  return AbortSignal.any([late.signal, ...others]);
}

/** `theirs` may be a timeout that nobody else holds: a listener keeps it. */
export function firstOf(own: AbortSignal, theirs: AbortSignal): AbortSignal {
  theirs.addEventListener('abort', () => undefined, { once: true });
  return AbortSignal.any([own, theirs]);
}

/** Rejects when the work has not ended in time, with `message` and the time. It goes on, and its end is ignored. */
export async function endedWithin<T>(ms: number, work: Promise<T>, message = 'no answer'): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_resolve, reject) => {
    timer = setTimeout(() => reject(new Error(`${message} within ${ms} ms`)), ms);
  });
  try {
    return await Promise.race([work, late]);
  } finally {
    clearTimeout(timer);
  }
}
