/**
 * How many requests a client may make within a window. The counts are in a store that all processes share; while
 * that is away each process counts by itself, so that no request fails because nobody could count it.
 */
import { endedWithin } from '../deliver/time-limit.ts';

/** Counts within windows of one length, which start with the first request of a key. */
export interface RequestCounts {
  /** One more; resolves to how many there are in the window, and when it ends. Rejects when the store is away. */
  add(key: string): Promise<Counted>;
}

export interface Counted {
  count: number;
  /** Until the window ends. */
  resetMs: number;
}

export interface Taken {
  allowed: boolean;
  limit: number;
  /** In this window. */
  remaining: number;
  resetSeconds: number;
}

export interface RequestLimit {
  /** Counts one. Never rejects. */
  take(key: string): Promise<Taken>;
  /** The limit, if this process has seen that the key has none left; counts nothing. */
  over(key: string): Taken | undefined;
}

/** Of those that have none left: more of them than that are counted in the store each time. */
const MOST_OVER = 10_000;

export function createRequestLimit(deps: {
  limit: number;
  counts: RequestCounts;
  /** Milliseconds of a clock that only goes forward. */
  now(): number;
}): RequestLimit {
  const { limit, counts, now } = deps;
  const ends = new Map<string, number>();

  function over(key: string): Taken | undefined {
    const end = ends.get(key);
    if (end === undefined) return undefined;
    const resetMs = end - now();
    if (resetMs > 0) return { allowed: false, limit, remaining: 0, resetSeconds: Math.ceil(resetMs / 1_000) };
    ends.delete(key);
    return undefined;
  }

  return {
    over,
    async take(key) {
      const exceeded = over(key);
      if (exceeded !== undefined) return exceeded;
      const { count, resetMs } = await counts.add(key);
      if (count >= limit) {
        for (const oldest of ends.size >= MOST_OVER ? ends.keys() : []) {
          ends.delete(oldest);
          break;
        }
        ends.set(key, now() + resetMs);
      }
      return {
        allowed: count <= limit,
        limit,
        remaining: Math.max(0, limit - count),
        resetSeconds: Math.max(1, Math.ceil(resetMs / 1_000)),
      };
    },
  };
}

/** A store that does not answer is not called again for so long: each request would wait for it. */
const REST_MS = 5_000;

/** Counts in `shared`, and in `own` while that does not answer in time. */
export function insured(deps: {
  shared: RequestCounts;
  /** Never rejects. */
  own: RequestCounts;
  timeoutMs: number;
  now(): number;
  /** Each time that a request was counted here only. */
  onAway(error: Error | undefined): void;
}): RequestCounts {
  let restUntil = Number.NEGATIVE_INFINITY;
  return {
    async add(key) {
      if (deps.now() >= restUntil) {
        try {
          return await endedWithin(deps.timeoutMs, deps.shared.add(key));
        } catch (error) {
          restUntil = deps.now() + REST_MS;
          deps.onAway(error instanceof Error ? error : new Error(String(error)));
          return deps.own.add(key);
        }
      }
      deps.onAway(undefined);
      return deps.own.add(key);
    },
  };
}
