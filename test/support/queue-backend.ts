/** The queue alone, for tests of what stands on it: queues of its own on a Redis, or in a database. */
import type { Backend } from '../../src/queue/backend.ts';
import { openBackend } from '../../src/queue/open-backend.ts';
import { createTestLog } from '../harness/test-log.ts';
import { testQueuePrefix } from './servers.ts';

export function openTestBackend(options: {
  redisUrl?: string | undefined;
  databaseUrl?: string;
  prefix?: string;
  shards?: number;
}): Backend {
  const { redisUrl, databaseUrl = 'postgres://unused', prefix = testQueuePrefix(), shards = 1 } = options;
  const redis = redisUrl === undefined ? undefined : ({ kind: 'one', url: redisUrl } as const);
  const rest = { offlineCommands: 'wait', name: 'test', log: createTestLog() } as const;
  return openBackend({ redis, databaseUrl, prefix, shards, ...rest });
}
