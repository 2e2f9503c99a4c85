/**
 * Long polls that wait in this process, by what they wait for. Something new pokes the one that has waited longest, and one
 * that found something pokes the next: as many probe as there is to find. Every second one of each key probes anyway, in
 * case a notification was lost. A waiting poll occupies no connection.
 */
import { OrchestratorError } from '../../domain/errors.ts';

const POLL_EVERY_MS = 1_000;
const MAX_WAITING = 1_000;

export interface WaitingPolls {
  /** What `probe` finds, at once or within that time; nothing when the time is over, the client goes, or this process stops. */
  until<T>(
    key: string,
    probe: () => Promise<T[]>,
    options: { milliseconds: number; signal: AbortSignal },
  ): Promise<T[]>;
  /** There may be something for this key. */
  notice(key: string): void;
  /** There may be something for every key. */
  noticeAll(): void;
  close(): void;
}

/** Asleep until it is poked; a poke that comes while it probes makes it probe again. */
interface Waiter {
  poked: boolean;
  wake: () => void;
}

export function createWaitingPolls({
  maxWaiting = MAX_WAITING,
  pollEveryMs = POLL_EVERY_MS,
}: {
  maxWaiting?: number;
  pollEveryMs?: number;
} = {}): WaitingPolls {
  /** In the order they came. */
  const waiting = new Map<string, Set<Waiter>>();
  const closing = new AbortController();
  let count = 0;

  function poke(key: string): void {
    for (const waiter of waiting.get(key) ?? []) {
      if (waiter.poked) continue;
      waiter.poked = true;
      waiter.wake();
      return;
    }
  }

  const noticeAll = () => {
    for (const key of waiting.keys()) poke(key);
  };
  const timer = setInterval(noticeAll, pollEveryMs);
  timer.unref();

  async function wait<T>(key: string, probe: () => Promise<T[]>, over: AbortSignal): Promise<T[]> {
    const waiter: Waiter = { poked: false, wake: () => undefined };
    const ofKey = waiting.get(key) ?? new Set();
    waiting.set(key, ofKey.add(waiter));
    count += 1;
    const onOver = () => waiter.wake();
    over.addEventListener('abort', onOver, { once: true });
    let found: T[] = [];
    try {
      for (;;) {
        waiter.poked = false;
        found = await probe();
        if (found.length > 0) return found;
        while (!waiter.poked && !over.aborted) {
          await new Promise<void>((resolve) => {
            waiter.wake = resolve;
          });
        }
        if (over.aborted) return [];
      }
    } finally {
      over.removeEventListener('abort', onOver);
      count -= 1;
      ofKey.delete(waiter);
      if (ofKey.size === 0 && waiting.get(key) === ofKey) waiting.delete(key);
      // Whatever it was poked for, and the rest of what it found, is for the next one.
      if (waiter.poked || found.length > 0) poke(key);
    }
  }

  return {
    async until(key, probe, { milliseconds, signal }) {
      if (milliseconds <= 0 || closing.signal.aborted) return probe();
      if (count >= maxWaiting) {
        const found = await probe();
        if (found.length > 0) return found;
        throw new OrchestratorError('overloaded', `${maxWaiting} polls wait at this process already`);
      }
      const late = new AbortController();
      const lateTimer = setTimeout(() => late.abort(), milliseconds);
      try {
        return await wait(key, probe, AbortSignal.any([signal, closing.signal, late.signal]));
      } finally {
        clearTimeout(lateTimer);
      }
    },
    notice: poke,
    noticeAll,
    close() {
      clearInterval(timer);
      closing.abort();
    },
  };
}
