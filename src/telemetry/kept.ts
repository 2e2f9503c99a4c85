import { inTime } from './in-time.ts';

/** What costs a query is read no more often than that. */
const CACHE_MS = 5_000;

/** Caches what `read` returns. Undefined while that fails, or has not come in time: the other metrics must not fail for it. */
export function cached<T>(read: () => Promise<T>, cacheMs = CACHE_MS): () => Promise<T | undefined> {
  let value: T | undefined;
  let at = Number.NEGATIVE_INFINITY;
  let reading: Promise<void> | undefined;
  return async () => {
    if (reading === undefined && performance.now() - at >= cacheMs) {
      at = performance.now();
      reading = read()
        .then(
          (found) => {
            value = found;
          },
          () => {
            value = undefined;
          },
        )
        .finally(() => {
          reading = undefined;
        });
    }
    if (reading !== undefined) await inTime(reading);
    return value;
  };
}
