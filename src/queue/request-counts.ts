/** Counts of requests in Redis, over a connection of their own: a client must not wait behind the queue's commands. */
import { RateLimiterRedis } from 'rate-limiter-flexible';
import type { RequestCounts } from '../engine/accept/request-limits.ts';
import type { RedisServers } from '../schemas/redis-servers.ts';
import { connectRedis } from './redis-connection.ts';

export interface RedisCounts {
  of(kind: string, windowMs: number): RequestCounts;
  close(): void;
}

/** Connects with the first request that is counted. */
export function createRedisCounts(servers: RedisServers, prefix: string, commandTimeoutMs: number): RedisCounts {
  const redis = connectRedis(servers, {
    connectionName: 'orchestrator-limits',
    lazyConnect: true,
    enableOfflineQueue: false,
    maxRetriesPerRequest: 0,
    commandTimeout: commandTimeoutMs,
    retryStrategy: (times) => Math.min(times * 100, 2_000),
  });
  // Each count that fails reports it.
  redis.on('error', () => undefined);
  return {
    of(kind, windowMs) {
      const limiter = new RateLimiterRedis({
        storeClient: redis,
        keyPrefix: `${prefix}:limit:${kind}`,
        points: Number.MAX_SAFE_INTEGER,
        duration: windowMs / 1_000,
      });
      return {
        async add(key) {
          if (redis.status === 'wait') await redis.connect();
          const { consumedPoints: count, msBeforeNext: resetMs } = await limiter.consume(key);
          return { count, resetMs: Math.max(1, resetMs) };
        },
      };
    },
    close: () => redis.disconnect(),
  };
}
