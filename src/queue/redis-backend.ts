/** BullMQ on Redis. */
import { once } from 'node:events';
import { setTimeout as sleep } from 'node:timers/promises';
import type { KeepJobs } from 'bullmq';
import type { RedisServers } from '../schemas/redis-servers.ts';
import type { Backend, BackendOptions } from './backend.ts';
import { classes, countWaiting, onError, PROBE_SUFFIX } from './bullmq-classes.ts';
import {
  alwaysEnds,
  connectRedis,
  infoOf,
  onCopies,
  onErrors,
  onServerChange,
  type RedisClient,
} from './redis-connection.ts';

/** How long a reconnection is waited for. */
const RENEWAL_MS = 2_000;
/** A stored job costs about 1.2 kB of memory, so there is a count. */
const KEEP_IN_REDIS: KeepJobs = { age: 300, count: 1_000 };

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
  const { prefix } = options;
  const markKey = `${prefix}:orchestrator:mark`;
  const info = (section: string) => infoOf(redis, section, markKey);
  let server: string | undefined;
  let onOther: () => void = () => undefined;
  let checkedServer = '';
  onServerChange(redis, () => {
    info('server').then(
      (text) => {
        const now = runIdIn(text);
        if (server !== undefined && now !== server) onOther();
        server = now;
      },
      // The connection broke again: the next one reads it again.
      () => undefined,
    );
  });
  // Of a Cluster the server that has the keys has to answer, and PING has none.
  const answers = async () =>
    servers.kind === 'cluster' ? (await redis.exists(markKey)) >= 0 : (await redis.ping()) === 'PONG';
  const abandon = () => {
    for (const connection of [...copies, redis]) connection.disconnect();
  };
  let renewing: Promise<unknown> | undefined;
  return {
    ...classes(options, redis, undefined),
    kind: 'redis',
    keepCompleted: KEEP_IN_REDIS,
    added: async () => undefined,
    ping: async () => redis.status === 'ready' && (await answers()),
    // Each worker blocks on a connection of its own.
    isListening: async () => true,
    async isMarked() {
      checkedServer = runIdIn(await info('server'));
      return (await redis.get(markKey)) === checkedServer;
    },
    // Of the server that was checked: one that replaced it since has to be checked too.
    mark: async () => void (await redis.set(markKey, checkedServer)),
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
      const memory = await info('memory');
      const number = (field: string) => Number(new RegExp(`^${field}:(\\d+)`, 'm').exec(memory)?.[1] ?? 0);
      const limit = number('maxmemory');
      return limit === 0 ? undefined : { usedBytes: number('used_memory'), maxBytes: limit };
    },
    async rejectsWrites() {
      if (redis.status !== 'ready') return undefined;
      try {
        // There is no such key, so nothing is written. A Redis without memory takes it: how full it is is said elsewhere.
        await redis.del(`${prefix}:orchestrator:probe`);
        return undefined;
      } catch (error) {
        return wordOf(error instanceof Error ? error.message : '');
      }
    },
    async probeWaiting(names, timeoutMs) {
      const fresh = connectRedis(servers, {
        connectionName: `${options.name}${PROBE_SUFFIX}`,
        retryStrategy: () => null,
        maxRetriesPerRequest: null,
        connectTimeout: timeoutMs,
      });
      fresh.on('error', () => undefined);
      try {
        return await countWaiting(names, { connection: fresh, prefix }, undefined, timeoutMs);
      } finally {
        fresh.disconnect();
      }
    },
    async lockLeftMs(queue, jobId) {
      const left = await redis.pttl(`${prefix}:${queue}:${jobId}:lock`);
      return left > 0 ? left : null;
    },
    reconnect() {
      for (const connection of [...copies, redis]) connection.disconnect(true);
    },
    onOtherServer(listener) {
      onOther = listener;
    },
    async warnings() {
      if (redis.status !== 'ready') await once(redis, 'ready');
      const policy = /maxmemory_policy:(\S+)/.exec(await info('memory'))?.[1];
      const persistence = await info('persistence');
      const appendOnly = /aof_enabled:(\d)/.exec(persistence)?.[1];
      const save = await redis.config('GET', 'save').catch(() => undefined);
      const found: string[] = [];
      if (policy !== undefined && policy !== 'noeviction') {
        found.push(`Redis may evict jobs: maxmemory-policy is ${policy}, set it to noeviction`);
      }
      if (appendOnly === '0') {
        const snapshots = Array.isArray(save) && save[1] !== '';
        found.push(
          snapshots
            ? 'Redis keeps snapshots only: set appendonly yes, or the last minutes are rebuilt from PostgreSQL after a crash'
            : 'Redis persistence is off: set appendonly yes, or all queued work is rebuilt from PostgreSQL after a restart',
        );
      }
      return found;
    },
    abandon,
    async close() {
      abandon();
    },
  };
}

/** The first word of Redis's answer, which a Cluster's client repeats in an error of its own. */
function wordOf(message: string): string | undefined {
  return /^(?:Too many Cluster redirections\. Last error: (?:ReplyError: )?)?([A-Z]{4,})(?= )/.exec(message)?.[1];
}

/** New at every start of a server. */
function runIdIn(info: string): string {
  return /^run_id:(\S+)/m.exec(info)?.[1] ?? 'unknown';
}
