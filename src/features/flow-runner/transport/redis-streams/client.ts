/** A connection whose commands fail at once while Redis is away: what is to be done then is decided by who sends them. */
import { once } from 'node:events';
import { connectRedis, onErrors, type RedisClient } from '../../../../queue/redis-connection.ts';
import type { RedisServers } from '../../../../schemas/redis-servers.ts';

/** Redis has so long to connect, and to answer. */
export const ANSWER_MS = 5_000;

export type Argument = string | number | Buffer;

export interface StreamsClient {
  redis: RedisClient;
  /** Texts come as Buffers. Rejects when there is no answer within the time limit. */
  call(command: string, ...args: Argument[]): Promise<unknown>;
  /** Resolves when commands can be sent; rejects when that takes too long, or with the signal. */
  ready(signal?: AbortSignal): Promise<void>;
  close(): void;
}

/** `blockMs`: its commands block for so long. Connects with its first command. */
export function openStreamsClient(servers: RedisServers, name: string, blockMs = 0): StreamsClient {
  const redis = connectRedis(servers, {
    connectionName: name,
    lazyConnect: true,
    enableOfflineQueue: false,
    maxRetriesPerRequest: 0,
    commandTimeout: blockMs + ANSWER_MS,
    retryStrategy: (times) => Math.min(times * 100, 2_000),
  });
  let last: Error | undefined;
  // Each command that fails reports it.
  onErrors(redis, (error) => {
    last = error;
  });

  async function ready(signal?: AbortSignal): Promise<void> {
    if (redis.status === 'ready') return;
    // A first try that fails is followed by others.
    if (redis.status === 'wait') redis.connect().catch(() => undefined);
    const limit = AbortSignal.timeout(ANSWER_MS);
    try {
      await once(redis, 'ready', { signal: signal === undefined ? limit : AbortSignal.any([signal, limit]) });
    } catch (error) {
      throw new Error(`Redis cannot be reached${last === undefined ? '' : `: ${last.message}`}`, { cause: error });
    }
  }

  return {
    redis,
    ready,
    async call(command, ...args) {
      await ready();
      return redis.callBuffer(command, ...args);
    },
    close: () => redis.disconnect(),
  };
}
