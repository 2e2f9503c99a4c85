/** BullMQ on Redis. */
import { once } from 'node:events';
import { setTimeout as sleep } from 'node:timers/promises';
import type { KeepJobs } from 'bullmq';
import { Redis } from 'ioredis';
import type { Backend, BackendOptions } from './backend.ts';
import { classes, countWaiting, onError, PROBE_SUFFIX } from './bullmq-classes.ts';

/** How long a reconnection is waited for. */
const RENEWAL_MS = 2_000;
/** A stored job costs about 1.2 kB of memory, so there is a count. */
const KEEP_IN_REDIS: KeepJobs = { age: 300, count: 1_000 };

export function openRedis(options: BackendOptions, url: string): Backend {
  const redis = new Redis(url, {
    connectionName: options.name,
    maxRetriesPerRequest: options.offlineCommands === 'wait' ? null : 0,
    enableOfflineQueue: options.offlineCommands === 'wait',
    retryStrategy: (times) => Math.min(times * 100, 2_000),
    reconnectOnError: (error) => error.message.startsWith('READONLY'),
  });
  redis.on('error', onError(options, 'redis_error'));
  alwaysEnds(redis);
  // Each worker has a copy to block on. BullMQ may still be reconnecting one when it says that the worker is closed.
  const copies: Redis[] = [];
  const duplicate = redis.duplicate.bind(redis);
  redis.duplicate = (overrides) => {
    const copy = duplicate(overrides);
    copies.push(copy);
    alwaysEnds(copy);
    return copy;
  };
  let server: string | undefined;
  let onOther: () => void = () => undefined;
  let checkedServer = '';
  redis.on('ready', () => {
    redis.info('server').then(
      (info) => {
        const now = runIdIn(info);
        if (server !== undefined && now !== server) onOther();
        server = now;
      },
      // The connection broke again: the next one reads it again.
      () => undefined,
    );
  });
  const abandon = () => {
    for (const connection of [...copies, redis]) connection.disconnect();
  };
  const { prefix } = options;
  let renewing: Promise<unknown> | undefined;
  return {
    ...classes(options, redis, undefined),
    kind: 'redis',
    keepCompleted: KEEP_IN_REDIS,
    added: async () => undefined,
    ping: async () => redis.status === 'ready' && (await redis.ping()) === 'PONG',
    // Each worker blocks on a connection of its own.
    isListening: async () => true,
    async isMarked() {
      checkedServer = runIdIn(await redis.info('server'));
      return (await redis.get(`${prefix}:orchestrator:mark`)) === checkedServer;
    },
    // Of the server that was checked: one that replaced it since has to be checked too.
    mark: async () => void (await redis.set(`${prefix}:orchestrator:mark`, checkedServer)),
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
      const memory = await redis.info('memory');
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
        return /^[A-Z]{4,}(?= )/.exec(error instanceof Error ? error.message : '')?.[0];
      }
    },
    async probeWaiting(names, timeoutMs) {
      const fresh = new Redis(url, {
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
      const policy = /maxmemory_policy:(\S+)/.exec(await redis.info('memory'))?.[1];
      const persistence = await redis.info('persistence');
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

/**
 * Of a connection that is given up between two tries to connect ioredis does not say that it has ended, and keeps what it was
 * to send: BullMQ waits for both.
 */
function alwaysEnds(connection: Redis): void {
  const disconnect = connection.disconnect.bind(connection);
  connection.disconnect = (reconnect) => {
    if (reconnect !== true && connection.status === 'reconnecting') connection.status = 'wait';
    disconnect(reconnect);
  };
}

/** New at every start of a server. */
function runIdIn(info: string): string {
  return /^run_id:(\S+)/m.exec(info)?.[1] ?? 'unknown';
}
