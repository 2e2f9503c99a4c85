/** The rate limits of an API process, and where they are counted. */
import type { IncomingMessage } from 'node:http';
import type pg from 'pg';
import type { Registry } from 'prom-client';
import { RateLimiterMemory } from 'rate-limiter-flexible';
import type { Config } from '../../config/config.ts';
import { FORWARDED_PROBLEM } from '../../doctor/forwarding.ts';
import {
  createRequestLimit,
  insured,
  type RequestCounts,
  type RequestLimit,
} from '../../engine/accept/request-limits.ts';
import type { Logger } from '../../engine/ports/logger.ts';
import { repeatUntil } from '../../engine/recover/reconcile.ts';
import { clientAddress, isUnbelieved, plainAddress } from '../../http/middleware/client-address.ts';
import type { ApiLimits } from '../../http/middleware/limits.ts';
import { createStreamSlots } from '../../http/middleware/stream-slots.ts';
import { createRedisCounts } from '../../queue/request-counts.ts';
import { createRequestCounts, forgetRequestCounts } from '../../store/accept/request-counts.ts';
import { createLimitMetrics } from '../../telemetry/limit-metrics.ts';
import type { SharedMetrics } from '../../telemetry/shared-metrics.ts';

const WINDOW_MS = 60_000;
/** A request waits no longer for being counted. */
const COUNT_TIMEOUT_MS = 1_000;
const FORGET_EVERY_MS = 60_000;
const FORGOTTEN_AT_ONCE = 10_000;
/** A store that is away is said so often. */
const SAY_EVERY_MS = 60_000;

export interface ComposedLimits extends ApiLimits {
  /** Resolves when `signal` is aborted. */
  keep(signal: AbortSignal): Promise<void>;
  close(): void;
}

interface Deps {
  pool: pg.Pool;
  registry: Registry;
  shared: Pick<SharedMetrics, 'forwardedByUntrusted'>;
  log: Logger;
}

export function apiLimits(config: Config, { pool, registry, shared, log }: Deps): ComposedLimits {
  const metrics = createLimitMetrics(registry);
  const { redis: servers, rateLimitPerMinute, authFailuresPerMinute } = config;
  const redis = servers === undefined ? undefined : createRedisCounts(servers, config.queuePrefix, COUNT_TIMEOUT_MS);
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
    return telling(createRequestLimit({ limit, counts, now }), () => metrics.rejected(kind));
  };
  const isForwarded = isUnbelieved(config.trustProxy);
  let saidForwarded = false;
  const noticeForwarding = ({ headers, socket: { remoteAddress: peer = 'unknown' } }: IncomingMessage) => {
    if (!isForwarded(peer, headers['x-forwarded-for']?.toString())) return;
    shared.forwardedByUntrusted();
    if (saidForwarded) return;
    saidForwarded = true;
    log.warn('forwarded_for_untrusted', { peer: plainAddress(peer), problem: FORWARDED_PROBLEM });
  };
  const requests = counted('requests', rateLimitPerMinute);
  const failures = counted('auth_failures', authFailuresPerMinute);
  return {
    addressOf: clientAddress(config.trustProxy),
    requests,
    failures,
    signatures: counted('signatures', authFailuresPerMinute),
    signatureRejected: metrics.signatureRejected,
    streams: createStreamSlots(config.maxStreamsPerTenant),
    noticeForwarding,
    async keep(signal) {
      if (redis !== undefined || (requests ?? failures) === undefined) return;
      await repeatUntil({ signal, log }, FORGET_EVERY_MS, 'forget_request_counts', () =>
        forgetRequestCounts(pool, FORGOTTEN_AT_ONCE),
      );
    },
    close: () => redis?.close(),
  };
}

function telling({ take, over }: RequestLimit, refused: () => void): RequestLimit {
  const observed = <T extends { allowed: boolean } | undefined>(taken: T): T => {
    if (taken?.allowed === false) refused();
    return taken;
  };
  return { take: async (key) => observed(await take(key)), over: (key) => observed(over(key)) };
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
