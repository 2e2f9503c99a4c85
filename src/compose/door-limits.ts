/** The limits at the door of an API process, and where they are counted. */
import type pg from 'pg';
import type { Registry } from 'prom-client';
import { RateLimiterMemory } from 'rate-limiter-flexible';
import type { Config } from '../config.ts';
import type { Logger } from '../engine/ports.ts';
import { createRequestLimit, insured, type RequestCounts, type RequestLimit } from '../engine/request-limits.ts';
import { repeatUntil } from '../engine/sweep.ts';
import { clientAddress } from '../http/client-address.ts';
import type { DoorLimits } from '../http/limits.ts';
import { createStreamPlaces } from '../http/stream-places.ts';
import { createRedisCounts } from '../queue/request-counts.ts';
import { createRequestCounts, forgetRequestCounts } from '../store/request-counts.ts';
import { createLimitMetrics } from '../telemetry/limit-metrics.ts';

const WINDOW_MS = 60_000;
/** A request waits no longer for being counted. */
const COUNT_TIMEOUT_MS = 1_000;
const FORGET_EVERY_MS = 60_000;
const FORGOTTEN_AT_ONCE = 10_000;
/** A store that is away is said so often. */
const SAY_EVERY_MS = 60_000;

export interface ComposedLimits extends DoorLimits {
  /** Resolves when `signal` is aborted. */
  keep(signal: AbortSignal): Promise<void>;
  close(): void;
}

export function doorLimits(
  config: Config,
  { pool, registry, log }: { pool: pg.Pool; registry: Registry; log: Logger },
): ComposedLimits {
  const metrics = createLimitMetrics(registry);
  const { redisUrl, rateLimitPerMinute, authFailuresPerMinute } = config;
  const redis = redisUrl === undefined ? undefined : createRedisCounts(redisUrl, config.queuePrefix, COUNT_TIMEOUT_MS);
  const now = () => performance.now();
  let saidAt = Number.NEGATIVE_INFINITY;
  const onAway = (error: Error | undefined) => {
    metrics.away();
    if (error === undefined || now() - saidAt < SAY_EVERY_MS) return;
    saidAt = now();
    log.warn('rate_limit_store_away', { error: error.message });
  };
  const counted = (kind: string, limit: number): RequestLimit | undefined => {
    if (limit === 0) return undefined;
    const shared = redis?.of(kind, WINDOW_MS) ?? createRequestCounts(pool, kind, WINDOW_MS);
    const counts = insured({ shared, own: inMemory(), timeoutMs: COUNT_TIMEOUT_MS, now, onAway });
    return telling(createRequestLimit({ limit, counts, now }), () => metrics.refused(kind));
  };
  const requests = counted('requests', rateLimitPerMinute);
  const failures = counted('auth_failures', authFailuresPerMinute);
  return {
    addressOf: clientAddress(config.trustProxy),
    requests,
    failures,
    streams: createStreamPlaces(config.maxStreamsPerTenant),
    async keep(signal) {
      if (redis !== undefined || (requests ?? failures) === undefined) return;
      await repeatUntil(signal, FORGET_EVERY_MS, () => forgetRequestCounts(pool, FORGOTTEN_AT_ONCE), log);
    },
    close: () => redis?.close(),
  };
}

function telling({ take, over }: RequestLimit, refused: () => void): RequestLimit {
  const told = <T extends { allowed: boolean } | undefined>(taken: T): T => {
    if (taken?.allowed === false) refused();
    return taken;
  };
  return { take: async (key) => told(await take(key)), over: (key) => told(over(key)) };
}

function inMemory(): RequestCounts {
  const limiter = new RateLimiterMemory({ points: Number.MAX_SAFE_INTEGER, duration: WINDOW_MS / 1_000 });
  return {
    async add(key) {
      const { consumedPoints: count, msBeforeNext: resetMs } = await limiter.consume(key);
      return { count, resetMs: Math.max(1, resetMs) };
    },
  };
}
