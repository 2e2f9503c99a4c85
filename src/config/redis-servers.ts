/** Where the Redis of the queue is, of the settings that name it. */
import type { RedisAddress, RedisServers } from '../schemas/redis-servers.ts';
import type { Label } from './read-settings.ts';
import type { Settings } from './settings/all.ts';

type RedisSettings = Settings['redis'];

/** Undefined: the queue is in PostgreSQL. */
export function redisServersOf(redis: RedisSettings): RedisServers | undefined {
  const { sentinels, sentinelName: name, sentinelPassword, cluster, username, password, tls } = redis;
  const login = { username, password, tls };
  if (sentinels.length > 0) {
    return { kind: 'sentinels', sentinels: sentinels.map(addressOf), name, sentinelPassword, login };
  }
  if (cluster.length > 0) return { kind: 'cluster', nodes: cluster.map(addressOf), login };
  const url = redisUrlOf(redis);
  return url === undefined ? undefined : { kind: 'one', url };
}

export function redisUrlOf({ url, host, port }: RedisSettings): string | undefined {
  return url ?? (host === undefined ? undefined : `redis://${host}:${port}`);
}

/** One Redis can be named in one way only: which of two is meant nobody can say. */
export function redisFaults(settings: Settings, label: Label): string[] {
  const { redis, queuePrefix } = settings;
  const named = [
    ...(redis.url === undefined ? [] : [label('REDIS_URL')]),
    ...(redis.host === undefined ? [] : [label('REDIS_HOST')]),
  ];
  const lists = [
    ...(redis.sentinels.length > 0 ? [label('REDIS_SENTINELS')] : []),
    ...(redis.cluster.length > 0 ? [label('REDIS_CLUSTER')] : []),
  ];
  const faults: string[] = [];
  if (lists.length > 0 && named.length + lists.length > 1) {
    faults.push(`${[...named, ...lists].join(' and ')} each name a Redis of the queue: set one of them.`);
  }
  if (redis.cluster.length > 0 && !/^[^{]*\{[^}]+\}/.test(queuePrefix)) {
    faults.push(
      `${label('QUEUE_PREFIX')} is ${queuePrefix}, and REDIS_CLUSTER needs a hash tag in it, as in {orch-0}: what one script of the queue touches has to be on one node.`,
    );
  }
  return [...faults, ...shardFaults(settings, label)];
}

function shardFaults({ redis, redisShards: shards, workerConcurrency }: Settings, label: Label): string[] {
  if (shards === 1) return [];
  const faults: string[] = [];
  if (redisServersOf(redis) === undefined) {
    faults.push(
      `${label('REDIS_SHARDS')} is ${shards}, and the queue is in PostgreSQL, where it has one: set REDIS_URL, or leave it out.`,
    );
  }
  if (workerConcurrency < shards) {
    faults.push(
      `${label('WORKER_CONCURRENCY')} is ${workerConcurrency}, and REDIS_SHARDS is ${shards}: a lane needs one slot for each shard, or some are never looked at.`,
    );
  }
  return faults;
}

/** The schema of the lists makes host:port of every item. */
function addressOf(item: string): RedisAddress {
  const at = item.lastIndexOf(':');
  return { host: item.slice(0, at).replace(/^\[(.*)\]$/, '$1'), port: Number(item.slice(at + 1)) };
}
