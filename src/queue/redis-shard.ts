/** The queues under one prefix in Redis, and the server that has them. In a Cluster other prefixes may be on other servers. */
import type { QueueUse } from '../domain/fairness/queue-room.ts';
import type { BackendOptions, Shard } from './backend.ts';
import { classes } from './bullmq-classes.ts';
import { infoOf, type RedisClient } from './redis-connection.ts';

export interface RedisShard extends Shard {
  prefix: string;
  /** Of the server that has this prefix. */
  info(section: string): Promise<string>;
  /** Rejects when that server does not answer. */
  answers(): Promise<boolean>;
  /** Whether another server, or one that was restarted, has the prefix since this was last asked. */
  hasMoved(): Promise<boolean>;
  memoryUse(): Promise<QueueUse | undefined>;
  rejectsWrites(): Promise<string | undefined>;
}

export function openRedisShard(options: BackendOptions, redis: RedisClient): RedisShard {
  const { prefix, shards = 1 } = options;
  const markKey = `${prefix}:orchestrator:mark`;
  const info = (section: string) => infoOf(redis, section, markKey);
  // Runs that were in another shard while there were more or fewer are found missing sooner.
  const markOf = (server: string) => (shards === 1 ? server : `${server}/${shards}`);
  let server: string | undefined;
  let checkedServer = '';
  return {
    ...classes(options, redis, undefined),
    ...{ prefix, info },
    answers: async () => (await redis.exists(markKey)) >= 0,
    async hasMoved() {
      const before = server;
      server = runIdIn(await info('server'));
      return before !== undefined && before !== server;
    },
    async isMarked() {
      checkedServer = runIdIn(await info('server'));
      return (await redis.get(markKey)) === markOf(checkedServer);
    },
    // Of the server that was checked: one that replaced it since has to be checked too.
    mark: async () => void (await redis.set(markKey, markOf(checkedServer))),
    async memoryUse() {
      const memory = await info('memory');
      const number = (field: string) => Number(new RegExp(`^${field}:(\\d+)`, 'm').exec(memory)?.[1] ?? 0);
      const limit = number('maxmemory');
      return limit === 0 ? undefined : { usedBytes: number('used_memory'), maxBytes: limit };
    },
    async rejectsWrites() {
      try {
        // There is no such key, so nothing is written. A Redis without memory takes it: how full it is is said elsewhere.
        await redis.del(`${prefix}:orchestrator:probe`);
        return undefined;
      } catch (error) {
        return wordOf(error instanceof Error ? error.message : '');
      }
    },
    async lockLeftMs(queue, jobId) {
      const left = await redis.pttl(`${prefix}:${queue}:${jobId}:lock`);
      return left > 0 ? left : null;
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
