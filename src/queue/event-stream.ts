/** The stream of events in Redis. */
import { textOf } from '../domain/templates/templates.ts';
import type { EventStream, StreamPosition } from '../engine/ports/event-stream.ts';
import type { Logger } from '../engine/ports/logger.ts';
import type { RedisServers } from '../schemas/redis-servers.ts';
import { connectRedis } from './redis-connection.ts';

const COMMAND_MS = 5_000;

export function openEventStream(options: {
  servers: RedisServers;
  name: string;
  maxLength: number;
  log: Logger;
}): EventStream & { close(): void } {
  const { name, maxLength, log } = options;
  const redis = connectRedis(options.servers, {
    connectionName: 'orchestrator-events',
    // A pass that cannot reach Redis ends; the next one tries again.
    maxRetriesPerRequest: 0,
    enableOfflineQueue: false,
    commandTimeout: COMMAND_MS,
    lazyConnect: false,
    retryStrategy: (times) => Math.min(times * 100, 2_000),
  });
  redis.on('error', (error: Error) => log.debug('event_stream_error', { error: error.message }));
  return {
    name,
    async last() {
      if ((await redis.exists(name)) === 0) return { ms: 0n, n: 0n };
      const info = (await redis.xinfo('STREAM', name)) as unknown[]; // Names and values in turn.
      return positionOf(String(info[info.indexOf('last-generated-id') + 1]));
    },
    async append(events, into = name) {
      if (redis.status !== 'ready') throw new Error('Redis cannot be reached');
      const transaction = redis.multi();
      for (const event of events) {
        const fields = Object.entries(event).flatMap(([field, value]) => [field, textOf(value ?? null)]);
        transaction.xadd(into, 'MAXLEN', '~', maxLength, '*', ...fields);
      }
      const answers = (await transaction.exec()) ?? [];
      return answers.map(([error, id]) => {
        if (error !== null) throw error;
        return positionOf(String(id));
      });
    },
    close: () => redis.disconnect(),
  };
}

function positionOf(id: string): StreamPosition {
  const [ms = '0', n = '0'] = id.split('-');
  return { ms: BigInt(ms), n: BigInt(n) };
}
