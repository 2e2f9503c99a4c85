import { expect, test, vi } from 'vitest';
import { createDatabaseClock, watchClock } from '../../../../src/store/core/database-clock.ts';
import { createTestLog } from '../../../harness/test-log.ts';

const HOUR_MS = 3_600_000;

/** A database whose clock is as much ahead of this process's as `aheadMs` says. */
function clockOf(aheadMs: () => number) {
  const log = createTestLog();
  const query = async () => ({ rows: [{ ms: Date.now() + aheadMs() }] });
  const clock = createDatabaseClock({ query } as never, log);
  return { clock, said: () => log.lines.filter(({ event }) => event === 'clock_skew') };
}

test('it is the time of the database, whatever the clock of this process says', async () => {
  const { clock } = clockOf(() => HOUR_MS);
  await clock.probe();
  expect(clock.now() - Date.now()).toBeCloseTo(HOUR_MS, -3);
});

test('it goes on by itself when the clock of this process is set between two probes', async () => {
  const { clock } = clockOf(() => 0);
  await clock.probe();
  const before = clock.now();
  vi.useFakeTimers({ toFake: ['Date'], now: Date.now() - HOUR_MS });
  try {
    expect(clock.now()).toBeGreaterThanOrEqual(before);
    expect(clock.now() - before).toBeLessThan(HOUR_MS / 2);
  } finally {
    vi.useRealTimers();
  }
});

test('a clock that is more than a second off is reported, in either direction, and a smaller difference is not', async () => {
  let ahead = 400;
  const { clock, said } = clockOf(() => ahead);
  await clock.probe();
  expect(said()).toEqual([]);
  for (ahead of [5_000, -5_000]) await clock.probe();
  expect(said().map(({ fields }) => (fields as { skew_ms: number }).skew_ms)).toEqual([
    expect.closeTo(-5_000, -2),
    expect.closeTo(5_000, -2),
  ]);
});

test('a probe says by how much the clock of the database was set since the one before', async () => {
  let ahead = 0;
  const { clock } = clockOf(() => ahead);
  expect(await clock.probe()).toBe(0);
  expect(await clock.probe()).toBe(0);
  ahead = HOUR_MS;
  expect(await clock.probe()).toBeCloseTo(HOUR_MS, -3);
  expect(await clock.probe()).toBe(0);
  ahead = 0;
  expect(await clock.probe()).toBeCloseTo(-HOUR_MS, -3);
});

test('the first probe compares with nothing: this process may have the wrong time', async () => {
  const { clock } = clockOf(() => -HOUR_MS);
  expect(await clock.probe()).toBe(0);
});

test('times are taken back once after the clock was set back, however often that fails first, and never after it was set forward', async () => {
  const looks = [0, HOUR_MS, -HOUR_MS, 0, 0, 0];
  const takeBack = vi.fn().mockRejectedValueOnce(new Error('the database is away')).mockResolvedValue(true);
  const watch = watchClock({ probe: async () => looks.shift() ?? 0 }, takeBack);
  await watch();
  await watch();
  expect(takeBack).not.toHaveBeenCalled();
  await expect(watch()).rejects.toThrow('away');
  for (let n = 0; n < 3; n += 1) await watch();
  expect(takeBack).toHaveBeenCalledTimes(2);
});
