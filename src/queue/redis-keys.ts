/** Keys in Redis that others read: each is written whole, and expires. Over a connection of its own. */
import { Redis } from 'ioredis';
import type { Logger } from '../engine/ports/logger.ts';

const COMMAND_MS = 5_000;

export interface RedisKeys {
  /** Rejects when Redis cannot be reached: what could not be written is not kept. */
  set(values: ReadonlyMap<string, string>, ttlSeconds: number): Promise<void>;
  close(): void;
}

/** Connects with the first key that is written. */
export function openRedisKeys(url: string, log: Logger): RedisKeys {
  const redis = new Redis(url, {
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
      const commands = redis.pipeline();
      for (const [key, value] of values) commands.set(key, value, 'EX', ttlSeconds);
      for (const [error] of (await commands.exec()) ?? []) if (error !== null) throw error;
    },
    close: () => redis.disconnect(),
  };
}
