/** Keys in Redis that others read: each is written whole, and expires. Over a connection of its own. */
import type { Logger } from '../engine/ports/logger.ts';
import type { RedisServers } from '../schemas/redis-servers.ts';
import { connectRedis } from './redis-connection.ts';

const COMMAND_MS = 5_000;

export interface RedisKeys {
  /** Rejects when Redis cannot be reached: what could not be written is not kept. */
  set(values: ReadonlyMap<string, string>, ttlSeconds: number): Promise<void>;
  close(): void;
}

/** Connects with the first key that is written. */
export function openRedisKeys(servers: RedisServers, log: Logger): RedisKeys {
  const redis = connectRedis(servers, {
    connectionName: 'orchestrator-keys',
    lazyConnect: true,
    enableOfflineQueue: false,
    maxRetriesPerRequest: 0,
    commandTimeout: COMMAND_MS,
    retryStrategy: (times) => Math.min(times * 100, 2_000),
  });
  redis.on('error', (error: Error) => log.debug('redis_keys_error', { error: error.message }));
  return {
    async set(values, ttlSeconds) {
      if (redis.status === 'wait') await redis.connect();
      if (redis.status !== 'ready') throw new Error('Redis cannot be reached');
      // In no pipeline: in a Cluster they are on several nodes.
      await Promise.all([...values].map(([key, value]) => redis.set(key, value, 'EX', ttlSeconds)));
    },
    close: () => redis.disconnect(),
  };
}
