/** When the queue has to be looked at as a whole: because it is new, was wiped, or may have lost what it wrote last. */
import { afterEach, expect, test } from 'vitest';
import { createFlowQueue } from '../../src/queue/flow-queue.ts';
import { startRedis } from '../harness/servers/redis-server.ts';
import { openTestBackend } from '../support/queue-backend.ts';

const undo: Array<() => Promise<unknown>> = [];
afterEach(async () => {
  for (const step of undo.splice(0).reverse()) await step();
});

test('a Redis that is new, was wiped or was restarted with all it had is looked at, once', async () => {
  let redis = await startRedis({ appendOnly: 'always' });
  undo.push(() => redis.stop());
  const backend = openTestBackend({ redisUrl: redis.url });
  undo.push(() => backend.close());
  const queue = createFlowQueue({ backend });
  undo.push(() => queue.close());
  const isLookedAtOnce = async () => {
    expect(await queue.wasWiped()).toBe(true);
    await queue.markSeen();
    expect(await queue.wasWiped()).toBe(false);
  };
  await isLookedAtOnce();

  const { folder, port } = redis;
  await redis.stop('SIGKILL');
  redis = await startRedis({ appendOnly: 'always', folder, port });
  await isLookedAtOnce();

  await queue.wasWiped();
  await redis.stop('SIGKILL');
  redis = await startRedis({ appendOnly: 'always', folder, port });
  // The mark of the look before the restart must not pass for one after it.
  await queue.markSeen();
  await isLookedAtOnce();
});
