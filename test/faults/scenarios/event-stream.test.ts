/** The stream of events: workers that die in the middle, and a Redis that goes and forgets. */
import { Redis } from 'ioredis';
import { describe, expect, test as own } from 'vitest';
import { createPlatformEvents } from '../../../src/features/events/event-log-store.ts';
import { startRedis } from '../../harness/servers/redis-server.ts';
import { until } from '../../harness/until.ts';
import { onBothBackendsInProcesses } from '../../support/processes.ts';
import { hasEnded, ONE_AT_A_TIME } from '../../support/scenario.ts';
import { openStack } from '../../support/stack.ts';
import { echo, workflow } from '../../support/test-task.ts';

/** Of a Redis that is the test's alone. */
const STREAM = 'told';
const [onRedis] = onBothBackendsInProcesses();
if (onRedis === undefined) throw new Error('there is no Redis');
const { test } = onRedis;

/** The ids of the events in the stream, in its order, with repetitions. */
async function idsIn(redis: Redis | undefined, stream: string): Promise<string[]> {
  const entries = (await redis?.xrange(stream, '-', '+')) ?? [];
  return entries.map(([, fields]) => fields[1] ?? '');
}

describe('the stream of events', () => {
  test('a worker that is killed at stream.afterAppend has its entries made again, with the same event ids in the same order', async ({
    api,
    db,
    processes,
  }) => {
    const { redis } = processes;
    // Tests share a Redis, one after the other.
    const stream = `${processes.queuePrefix}:told`;
    await processes.compose('api');
    const first = await processes.start('worker', {
      ...ONE_AT_A_TIME,
      EVENTS_STREAM: stream,
      FAILPOINTS: 'stream.afterAppend:exit',
    });
    const run = await api.execute(await api.createWorkflow(workflow([echo('a'), echo('b', ['a'])])));
    await hasEnded(first);
    const before = await idsIn(redis, stream);
    expect(before.length).toBeGreaterThan(0);
    await processes.compose('worker', { ...ONE_AT_A_TIME, EVENTS_STREAM: stream });
    await api.finished(run);
    const { rows } = await db.query<{ id: string }>('SELECT id FROM event WHERE run_id = $1 ORDER BY id', [run]);
    await until(async () => (await idsIn(redis, stream)).length >= before.length + rows.length);
    const ids = await idsIn(redis, stream);
    // What was not marked comes once more; whoever drops what it has seen has each event once, in order.
    expect(ids).toEqual([...before, ...rows.map(({ id }) => id)]);
    expect([...new Set(ids)]).toEqual(rows.map(({ id }) => id));
  });

  own('goes on after Redis was away, and makes again what a Redis that came back empty has lost', async () => {
    const server = await startRedis();
    const stack = await openStack('redis', { redisUrl: server.url, environment: { EVENTS_STREAM: STREAM } });
    const redis = new Redis(server.url, { connectionName: 'test' });
    redis.on('error', () => undefined);
    const happen = createPlatformEvents(stack.db);
    const inLog = async () => {
      const { body } = await stack.api.get('/infrastructure/events/history');
      return (body as { events: Array<{ event_id: string }> }).events.map(({ event_id: id }) => id).reverse();
    };
    let again: Awaited<ReturnType<typeof startRedis>> | undefined;
    try {
      await stack.api.run(workflow([echo('a')]));
      await until(async () => new Set(await idsIn(redis, STREAM)).size === (await inLog()).length);
      await server.stop('SIGKILL');
      for (const kind of ['away.one', 'away.two']) await happen({ tenantId: 'default', kind, data: {} });
      again = await startRedis({ folder: server.folder, port: server.port });
      // It has none of them any more.
      await until(async () => sameAs(redis, await inLog()));
      await redis.flushall();
      await happen({ tenantId: 'default', kind: 'after.flush', data: {} });
      await until(async () => sameAs(redis, await inLog()));
      expect(stack.log.tail()).toContain('events_sent_again');
    } finally {
      redis.disconnect();
      await stack.stop();
      await (again ?? server).stop();
    }
  });
});

async function sameAs(redis: Redis, ids: readonly string[]): Promise<boolean> {
  return JSON.stringify(await idsIn(redis, STREAM)) === JSON.stringify(ids);
}
