/** What an operator may do to the Redis of the queue. */
import type { Installation } from '../support/operations/installation.ts';
import { operationsTest } from '../support/operations/operations-test.ts';

const redisOf = ({ redis }: Installation) => {
  if (redis === undefined) throw new Error('this installation has no Redis');
  return redis;
};

operationsTest(
  'Redis has no memory left',
  {},
  {
    async inject(installation) {
      const { client } = redisOf(installation);
      const used = Number(/used_memory:(\d+)/.exec(await client.info('memory'))?.[1]);
      await client.config('SET', 'maxmemory', String(Math.floor(used * 0.8)));
      return async () => void (await client.config('SET', 'maxmemory', '0'));
    },
    named: ['queue_full'],
    why: ['queue_full'],
    repeatsWork: true,
  },
);

operationsTest(
  'Redis is made a replica of one that is not there',
  {},
  {
    async inject(installation) {
      const { client } = redisOf(installation);
      await client.call('REPLICAOF', '127.0.0.1', '1');
      return async () => void (await client.call('REPLICAOF', 'NO', 'ONE'));
    },
    named: ['queue_not_writable'],
    why: ['queue_not_writable'],
    repeatsWork: true,
  },
);

operationsTest(
  'Redis takes no more clients',
  {},
  {
    async inject(installation) {
      const { client } = redisOf(installation);
      await client.config('SET', 'maxclients', '1');
      await client.client('KILL', 'TYPE', 'normal', 'SKIPME', 'yes');
      return async () => void (await client.config('SET', 'maxclients', '10000'));
    },
    named: ['queue_unreachable'],
    why: ['queue_unreachable'],
    repeatsWork: true,
  },
);
