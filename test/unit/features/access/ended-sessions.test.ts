/** Which sessions were ended, as a process caches it: a few seconds old at most, and older while the database does not answer. */
import { expect, test } from 'vitest';
import { createEndedSessions, SESSIONS_CACHED_MS } from '../../../../src/features/access/ended-sessions.ts';

function setUp() {
  const world = { now: 0, reads: 0, ended: new Set<string>(), away: false, warned: 0 };
  const silent = () => undefined;
  const warn = () => {
    world.warned += 1;
  };
  const isEnded = createEndedSessions({
    directory: {
      async ended() {
        world.reads += 1;
        if (world.away) throw new Error('away');
        return new Set(world.ended);
      },
    },
    elapsed: () => world.now,
    log: { debug: silent, info: silent, error: silent, warn },
  });
  return { world, isEnded };
}

test('is seen within the time that a reading is cached, and concurrent callers share one reading', async () => {
  const { world, isEnded } = setUp();
  expect(await Promise.all([isEnded('a'), isEnded('a'), isEnded('b')])).toEqual([false, false, false]);
  expect(world.reads).toBe(1);
  world.ended.add('a');
  world.now = SESSIONS_CACHED_MS - 1;
  expect(await isEnded('a')).toBe(false);
  world.now = SESSIONS_CACHED_MS;
  expect([await isEnded('a'), await isEnded('b')]).toEqual([true, false]);
  expect(world.reads).toBe(2);
});

test('while nobody answers the cache stays valid, and it is read again no sooner than before', async () => {
  const { world, isEnded } = setUp();
  world.ended.add('a');
  expect(await isEnded('a')).toBe(true);
  world.away = true;
  world.now = SESSIONS_CACHED_MS;
  expect([await isEnded('a'), await isEnded('b'), await isEnded('a')]).toEqual([true, false, true]);
  expect([world.reads, world.warned]).toEqual([2, 1]);
  world.away = false;
  world.ended.add('b');
  world.now = 2 * SESSIONS_CACHED_MS;
  expect(await isEnded('b')).toBe(true);
});
