import { answersAt, startRedis } from '../harness/servers/redis-server.ts';

/** The Redis that all tests share, each with its own prefix: TEST_REDIS_URL, or one that is started. */
export async function sharedRedis(): Promise<{ url: string; stop(): Promise<void> }> {
  const given = process.env['TEST_REDIS_URL'];
  if (given === undefined || given === '') return startRedis();
  if (!(await answersAt(given))) throw new Error('TEST_REDIS_URL is set and no Redis answers there.');
  return { url: given, stop: async () => undefined };
}
