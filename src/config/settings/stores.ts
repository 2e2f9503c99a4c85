/** The settings of PostgreSQL and Redis. */
import path from 'node:path';
import { addresses, flag, oneOf, text, url, whole } from '../types.ts';
import { optional, setting } from './setting.ts';

export const stores = {
  databaseUrl: optional('DATABASE_URL', url(['postgresql', 'postgres']), {
    description: 'The PostgreSQL database. By default `npm start` runs its own server in DATA_DIR.',
    secret: 'credentials',
  }),
  databasePoolSize: setting('DATABASE_POOL_SIZE', whole(1, 1_000), {
    default: '10',
    description:
      'Connections to PostgreSQL per process. An API process has up to as many again for operations that are limited to one tenant.',
  }),
  rowLevelSecurity: setting('ROW_LEVEL_SECURITY', oneOf(['auto', 'required', 'off']), {
    default: 'auto',
    description:
      'Row-level security as an additional tenant isolation in the database. auto: if its role could be created; required: an API process does not start without it; off: never (behind a pooler in transaction mode).',
  }),
  redis: {
    url: optional('REDIS_URL', url(['redis', 'rediss']), {
      description: 'The Redis of the queue, where it is one server. By default the queue is in PostgreSQL too.',
      secret: 'credentials',
    }),
    host: optional('REDIS_HOST', text(), { description: 'The host, instead of REDIS_URL.' }),
    port: setting('REDIS_PORT', whole(1, 65_535), { default: '6379', description: 'The port, with REDIS_HOST.' }),
    sentinels: setting('REDIS_SENTINELS', addresses(26_379), {
      default: '',
      description:
        'The Redis Sentinels that know the primary of the queue, instead of REDIS_URL: a list of host:port. After a fail-over all processes connect to the new primary.',
    }),
    sentinelName: setting('REDIS_SENTINEL_NAME', text(), {
      default: 'mymaster',
      description: 'What the Sentinels call the primary.',
    }),
    sentinelPassword: optional('REDIS_SENTINEL_PASSWORD', text(), {
      description: 'The password of the Sentinels themselves, if they have one.',
      secret: true,
    }),
    cluster: setting('REDIS_CLUSTER', addresses(6_379), {
      default: '',
      description:
        'Some nodes of the Redis Cluster of the queue, instead of REDIS_URL: a list of host:port; the other nodes are found. QUEUE_PREFIX needs a hash tag.',
    }),
    username: optional('REDIS_USERNAME', text(), {
      description: 'The user of the servers behind REDIS_SENTINELS or REDIS_CLUSTER.',
    }),
    password: optional('REDIS_PASSWORD', text(), {
      description: 'The password of the servers behind REDIS_SENTINELS or REDIS_CLUSTER; a URL has its own.',
      secret: true,
    }),
    tls: setting('REDIS_TLS', flag(), {
      default: 'false',
      description: 'TLS to all servers of REDIS_SENTINELS or REDIS_CLUSTER; of a URL rediss:// says so.',
    }),
  },
  queuePrefix: setting('QUEUE_PREFIX', text(), {
    default: '{orch-0}',
    description: 'Prefix of the queue keys; the same for all processes that work together.',
  }),
  redisShards: setting('REDIS_SHARDS', whole(1, 64), {
    default: '1',
    description:
      'Number of shards of the queue in Redis, each a hash slot of a Cluster: their prefixes are QUEUE_PREFIX, as {orch-0}, and {orch-1} and so on. The same for all processes; stop them all to change it, and live executions are added again.',
  }),
  dataDir: setting('DATA_DIR', text(), {
    default: './data',
    description: 'Data directory of the PostgreSQL server that `npm start` runs.',
    inConfig: (dir, folder) => path.resolve(folder, dir),
  }),
};
