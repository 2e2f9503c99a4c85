/**
 * Releases the lock of all processes, which a reconcile pass has, when the queue no longer answers this process. A connection
 * that is forgotten on its way answers nothing and breaks nothing: commands would wait for it for as long as the process
 * lasts, and all other reconcilers for the lock.
 */
import type { ReconcileStore } from '../ports/reconcile.ts';
import { pause } from './reconcile.ts';

const PING_EVERY_MS = 2_500;
/** One may be lost in a reconnect. */
const UNANSWERED = 2;

/** `answers`: within a bounded time. What was under way then goes on without the lock, as that of a process that stood still. */
export function whileAnswered(
  store: ReconcileStore,
  answers: () => Promise<boolean>,
  everyMs = PING_EVERY_MS,
): ReconcileStore {
  async function failWhenUnanswered(ended: AbortSignal): Promise<never> {
    for (let unanswered = 0; unanswered < UNANSWERED && !ended.aborted; ) {
      await pause(everyMs, ended);
      unanswered = ended.aborted || (await answers()) ? 0 : unanswered + 1;
    }
    throw new Error('the queue does not answer any more');
  }

  return {
    ...store,
    exclusively: (work) =>
      store.exclusively(async () => {
        const ended = new AbortController();
        try {
          return await Promise.race([work(), failWhenUnanswered(ended.signal)]);
        } finally {
          ended.abort();
        }
      }),
  };
}
