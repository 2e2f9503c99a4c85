import type pg from 'pg';
import { expect, test } from 'vitest';
import { createStatistics } from '../../../src/queue/statistics.ts';

function statistics(fault?: Error) {
  const seen = { counted: 0, errors: [] as Error[], now: 0 };
  const pool = {
    async query() {
      seen.counted += 1;
      if (fault !== undefined) throw fault;
    },
  } as unknown as pg.Pool; // Only this of it is used.
  const added = createStatistics(
    pool,
    (error) => seen.errors.push(error),
    () => seen.now,
  );
  return { seen, added };
}

test('a large flow is counted, small ones are not, and many large ones now and then', async () => {
  const { seen, added } = statistics();
  await added(199);
  expect(seen.counted).toBe(0);
  await added(200);
  await added(10_000);
  expect(seen.counted).toBe(1);
  seen.now = 10_000;
  await added(200);
  expect(seen.counted).toBe(2);
});

test('a failure is reported and blocks no adding', async () => {
  const { seen, added } = statistics(new Error('no'));
  await added(1_000);
  expect(seen.errors).toEqual([new Error('no')]);
});
