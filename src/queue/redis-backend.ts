/** BullMQ on Redis. All shards share one connection; in a Cluster it leads to the server that has the keys. */
import { once } from 'node:events';
import { setTimeout as sleep } from 'node:timers/promises';
import type { KeepJobs } from 'bullmq';
import { fullest } from '../domain/fairness/queue-room.ts';
import type { RedisServers } from '../schemas/redis-servers.ts';
import type { Backend, BackendOptions } from './backend.ts';
import { countWaiting, onError, PROBE_SUFFIX } from './bullmq-classes.ts';
import { alwaysEnds, connectRedis, onCopies, onErrors, onServerChange, type RedisClient } from './redis-connection.ts';
import { openRedisShard, type RedisShard } from './redis-shard.ts';
import { laneOfName, shardPrefixes } from './shard-names.ts';

/** How long a reconnection is waited for. */
const RENEWAL_MS = 2_000;
/** A stored job costs about 1.2 kB of memory, so there is a count. */
const KEEP_IN_REDIS: KeepJobs = { age: 300, count: 1_000 };
/** The window starts with its first start, as BullMQ's own does. Answers how many milliseconds there is none left. */
const TAKE_START = `
local taken = redis.call('INCR', KEYS[1])
if taken == 1 then redis.call('PEXPIRE', KEYS[1], ARGV[2]) end
if taken <= tonumber(ARGV[1]) then return 0 end
return math.max(redis.call('PTTL', KEYS[1]), 1)`;

export function openRedis(options: BackendOptions, servers: RedisServers): Backend {
  const redis = connectRedis(servers, {
    connectionName: options.name,
    maxRetriesPerRequest: options.offlineCommands === 'wait' ? null : 0,
    enableOfflineQueue: options.offlineCommands === 'wait',
    retryStrategy: (times) => Math.min(times * 100, 2_000),
    reconnectOnError: (error) => error.message.startsWith('READONLY'),
  });
  onErrors(redis, onError(options, 'redis_error'));
  alwaysEnds(redis);
  // Each worker has a copy to block on. BullMQ may still be reconnecting one when it says that the worker is closed.
  const copies: RedisClient[] = [];
  onCopies(redis, (copy) => {
    copies.push(copy);
    alwaysEnds(copy);
  });
  const prefixes = shardPrefixes(options.prefix, options.shards ?? 1);
  const openShard = (prefix: string) => openRedisShard({ ...options, prefix }, redis);
  const first = openShard(prefixes[0]);
  const shards: RedisShard[] = [first, ...prefixes.slice(1).map(openShard)];
  /** One for each server that may be another than the others: only a Cluster has several. */
  const onServers = servers.kind === 'cluster' ? shards : [first];
  const ofServers = <T>(ask: (shard: RedisShard) => Promise<T>) => Promise.all(onServers.map(ask));
  let onOther: () => void = () => undefined;
  onServerChange(redis, () => {
    for (const shard of onServers) {
      shard.hasMoved().then(
        (moved) => {
          if (moved) onOther();
        },
        // The connection broke again: the next one reads it again.
        () => undefined,
      );
    }
  });
  // Of a Cluster the servers that have the keys have to answer, and PING has none.
  const answers = async () =>
    servers.kind === 'cluster'
      ? (await ofServers((shard) => shard.answers())).every(Boolean)
      : (await redis.ping()) === 'PONG';
  const abandon = () => {
    for (const connection of [...copies, redis]) connection.disconnect();
  };
  let renewing: Promise<unknown> | undefined;
  return {
    ...first,
    kind: 'redis',
    shards,
    keepCompleted: KEEP_IN_REDIS,
    added: async () => undefined,
    ping: async () => redis.status === 'ready' && (await answers()),
    // Each worker blocks on a connection of its own.
    isListening: async () => true,
    async takeStart(lane, { max, perMs }) {
      return Number(await redis.call('eval', TAKE_START, 1, `${options.prefix}:orchestrator:rate:${lane}`, max, perMs));
    },
    async forgetScripts() {
      // A script that was rejected inside a transaction, because Redis was full, counts as sent on that connection for
      // as long as it lasts.
      renewing ??= Promise.race([once(redis, 'ready'), sleep(RENEWAL_MS)]).finally(() => {
        renewing = undefined;
      });
      if (redis.status === 'ready') redis.disconnect(true);
      await renewing.catch(() => undefined);
    },
    async memoryUse() {
      if (redis.status !== 'ready') return undefined;
      return fullest(await ofServers((shard) => shard.memoryUse()));
    },
    async rejectsWrites() {
      if (redis.status !== 'ready') return undefined;
      return (await ofServers((shard) => shard.rejectsWrites())).find((word) => word !== undefined);
    },
    async probeWaiting(lanes, timeoutMs) {
      const fresh = connectRedis(servers, {
        connectionName: `${options.name}${PROBE_SUFFIX}`,
        retryStrategy: () => null,
        maxRetriesPerRequest: null,
        connectTimeout: timeoutMs,
      });
      fresh.on('error', () => undefined);
      const at = lanes.map((lane) => {
        const { queue, shard } = laneOfName(lane);
        return { lane, queue, prefix: prefixes[shard] ?? options.prefix };
      });
      try {
        return await countWaiting(at, fresh, undefined, timeoutMs);
      } finally {
        fresh.disconnect();
      }
    },
    reconnect() {
      for (const connection of [...copies, redis]) connection.disconnect(true);
    },
    onOtherServer(listener) {
      onOther = listener;
    },
    async warnings() {
      if (redis.status !== 'ready') await once(redis, 'ready');
      const save = await redis.config('GET', 'save').catch(() => undefined);
      const hasSnapshots = Array.isArray(save) && save[1] !== '';
      return [...new Set((await ofServers((shard) => setupOf(shard, hasSnapshots))).flat())];
    },
    abandon,
    async close() {
      abandon();
    },
  };
}

/** What the operator should know of the server of this shard. */
async function setupOf(shard: RedisShard, hasSnapshots: boolean): Promise<string[]> {
  const policy = /maxmemory_policy:(\S+)/.exec(await shard.info('memory'))?.[1];
  const appendOnly = /aof_enabled:(\d)/.exec(await shard.info('persistence'))?.[1];
  const found: string[] = [];
  if (policy !== undefined && policy !== 'noeviction') {
    found.push(`Redis may evict jobs: maxmemory-policy is ${policy}, set it to noeviction`);
  }
  if (appendOnly === '0') {
    found.push(
      hasSnapshots
        ? 'Redis keeps snapshots only: set appendonly yes, or the last minutes are rebuilt from PostgreSQL after a crash'
        : 'Redis persistence is off: set appendonly yes, or all queued work is rebuilt from PostgreSQL after a restart',
    );
  }
  return found;
}
