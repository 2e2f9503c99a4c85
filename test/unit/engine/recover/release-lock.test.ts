import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import type { ReconcileStore } from '../../../../src/engine/ports/reconcile.ts';
import { whileAnswered } from '../../../../src/engine/recover/release-lock.ts';

beforeEach(() => void vi.useFakeTimers());
afterEach(() => void vi.useRealTimers());

/** A store that says whether its lock is held, which it is while the work is under way. */
function locked(answers: () => Promise<boolean>) {
  const lock = { held: false };
  const reconcile = {
    async exclusively<T>(work: () => Promise<T>) {
      lock.held = true;
      try {
        return await work();
      } finally {
        lock.held = false;
      }
    },
  } as ReconcileStore; // Nothing else of it is used.
  return { lock, sweep: whileAnswered(reconcile, answers, 2_500) };
}
const never = () => new Promise<never>(() => undefined);

test('the lock of all reconcilers is let go when the queue answers its holder no more', async () => {
  const { lock, sweep } = locked(() => Promise.resolve(false));
  const pass = expect(sweep.exclusively(never)).rejects.toThrow('the queue does not answer any more');
  await vi.advanceTimersByTimeAsync(4_000);
  expect(lock.held).toBe(true);
  await vi.advanceTimersByTimeAsync(1_000);
  expect(lock.held).toBe(false);
  await pass;
  expect(vi.getTimerCount()).toBe(0);
});

test('a long pass keeps it while the queue answers, though not every time', async () => {
  let probes = 0;
  const { lock, sweep } = locked(async () => {
    probes += 1;
    return probes % 2 === 0;
  });
  let end: (report: string) => void = () => undefined;
  const work = new Promise<string>((resolve) => {
    end = resolve;
  });
  const pass = sweep.exclusively(() => work);
  await vi.advanceTimersByTimeAsync(60_000);
  expect([lock.held, probes]).toEqual([true, 24]);
  end('done');
  expect(await pass).toBe('done');
  expect([lock.held, vi.getTimerCount()]).toEqual([false, 0]);
});

test('a pass rejects with the error of its work', async () => {
  const { lock, sweep } = locked(() => Promise.resolve(true));
  await expect(sweep.exclusively(() => Promise.reject(new Error('the database has gone')))).rejects.toThrow('database');
  expect([lock.held, vi.getTimerCount()]).toEqual([false, 0]);
});
