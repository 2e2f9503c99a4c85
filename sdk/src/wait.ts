/** Time and signals, for Node and browsers alike. */

/** Rejects with the reason of the signal when that is aborted first. */
export function sleep(ms: number, signal?: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    if (signal?.aborted === true) return reject(signal.reason);
    const onAbort = () => {
      clearTimeout(timer);
      reject(signal?.reason);
    };
    const timer = setTimeout(() => {
      signal?.removeEventListener('abort', onAbort);
      resolve();
    }, ms);
    signal?.addEventListener('abort', onAbort, { once: true });
  });
}

export interface Deadline {
  signal: AbortSignal;
  /** The time was over, and nobody aborted. */
  isOver(): boolean;
  /** Starts the time anew. */
  extend(): void;
  close(): void;
}

/**
 * A signal that follows another one and a timeout. Unlike with `AbortSignal.any`, nothing of it stays registered with a
 * signal that lives as long as the program once it is closed.
 */
export function deadline(ms: number, parent: AbortSignal | undefined): Deadline {
  const controller = new AbortController();
  let over = false;
  const onTime = () => {
    over = true;
    controller.abort(new Error(`no answer within ${ms} ms`));
  };
  let timer = setTimeout(onTime, ms);
  const onAbort = () => controller.abort(parent?.reason);
  if (parent?.aborted === true) onAbort();
  parent?.addEventListener('abort', onAbort, { once: true });
  return {
    signal: controller.signal,
    isOver: () => over,
    extend() {
      clearTimeout(timer);
      timer = setTimeout(onTime, ms);
    },
    close() {
      clearTimeout(timer);
      parent?.removeEventListener('abort', onAbort);
    },
  };
}

const FIRST_DELAY_MS = 200;
const LONGEST_DELAY_MS = 10_000;

/** How long to wait after failure number `failures` (1-based): it doubles, and loses up to half of itself by chance. */
export function backoff(failures: number): number {
  const full = Math.min(FIRST_DELAY_MS * 2 ** (failures - 1), LONGEST_DELAY_MS);
  return full * (1 - Math.random() / 2);
}
