import { readFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import {
  boundOfOneCore,
  type CostOfTask,
  capacityPage,
  measuredCosts,
  simulateDay,
} from '../../../scripts/capacity.ts';

const COST: CostOfTask = {
  title: 'a task',
  microseconds: { api: 300, worker: 200, redis: 100, postgres: 150 },
  storedBytes: 2_000,
  walBytes: 4_000,
  tasksPerRun: 1,
};
const QUEUED = { redisPerRun: 1_000, beyondWindow: 0.5 };

test('docs/scale.md has what `npm run capacity` writes from the results of the benchmark', () => {
  const page = readFileSync('docs/scale.md', 'utf8');
  expect(page).toBe(capacityPage(page));
});

test('what was measured is read, whatever the tables have become', () => {
  const { costs, queued } = measuredCosts();
  expect(costs.map(({ tasksPerRun }) => tasksPerRun)).toEqual([1, 5]);
  for (const { microseconds, storedBytes, walBytes } of costs) {
    for (const each of [...Object.values(microseconds), storedBytes, walBytes]) expect(each).toBeGreaterThan(10);
  }
  expect(queued.redisPerRun).toBeGreaterThan(100);
  expect(queued.beyondWindow).toBeGreaterThan(0);
});

test('a day needs cores in proportion to its tasks, and the peak takes three fifths of them', () => {
  const day = simulateDay(864_000_000, COST, QUEUED);
  expect(day.peakPerSecond).toBe(20_000);
  expect(day.cores).toEqual({ api: 6, worker: 4, redis: 2, postgres: 3 });
  expect(day.needed).toEqual({ api: 10, worker: 7, redis: 4, postgres: 5 });
  expect(day.storedBytes).toBe(864_000_000 * 2_000);
  expect(day.walPerSecondAtPeak).toBe(80e6);
});

test('what is queued in Redis is bounded by the admission window, however long the backlog', () => {
  const [small, large] = [simulateDay(864_000, COST, QUEUED), simulateDay(864_000_000, COST, QUEUED)];
  // Ten minutes of the peak.
  expect(small.longestBacklog).toBeGreaterThan(11_900);
  expect(small.longestBacklog).toBeLessThan(12_100);
  expect(small.redisBytes).toBe(10_000 * 1_000);
  expect(large.redisBytes).toBe(10_000 * 1_000);
  expect(large.longestBacklog).toBeGreaterThan(1_000 * small.longestBacklog * 0.9);
});

test('a backlog is drained sooner where runs that wait in PostgreSQL cost nothing more', () => {
  const day = (beyondWindow: number) => simulateDay(864_000_000, COST, { ...QUEUED, beyondWindow }).secondsToDrain;
  expect(day(1)).toBeGreaterThan(600);
  expect(day(0.5)).toBeGreaterThan(2 * day(1));
});

test('one core is enough for as many tasks as its microseconds say', () => {
  expect(boundOfOneCore(100)).toBeCloseTo(259_200_000);
});
