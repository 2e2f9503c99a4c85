import { describe, expect, test } from 'vitest';
import {
  inOrderOfSlots,
  MAX_RANK,
  rankOf,
  roomForNewRuns,
  shareOut,
  type WeightOf,
  type WindowUse,
} from '../../../../src/domain/fairness/fair-share.ts';
import { createFairness } from '../../../../src/engine/accept/fairness.ts';

const alike = () => 1;
const use = (inQueue: Record<string, number>, ...waiting: string[]): WindowUse => ({
  inQueue: new Map(Object.entries(inQueue)),
  total: Object.values(inQueue).reduce((sum, count) => sum + count, 0),
  waiting,
});
const granted = (window: number, most: number, using: WindowUse, weightOf: WeightOf) =>
  Object.fromEntries(shareOut(window, most, using, { weightOf }).grants);

describe('the rank of a run', () => {
  test('grows with the runs ahead, ever slower, to a bound', () => {
    const ranks = [0, 1, 3, 10, 100, 1_000, 10_000, 10_000_000].map((ahead) => rankOf(ahead, 1));
    expect(ranks[0]).toBe(0);
    expect([...ranks].sort((a, b) => a - b)).toEqual(ranks);
    expect(new Set(ranks).size).toBe(8);
    expect(ranks.at(-1)).toBe(MAX_RANK);
  });

  test('counts by weight: who weighs four is after eight where others are after two', () => {
    expect(rankOf(8, 4)).toBe(rankOf(2, 1));
    expect(rankOf(8, 4)).toBeLessThan(rankOf(8, 1));
  });

  test('never goes back while a tenant has runs in the queue, and starts again at 0 when it has none', () => {
    const { ranks: turns } = createFairness(alike);
    for (let n = 0; n < 500; n += 1) turns.next('much');
    for (let n = 0; n < 20; n += 1) turns.next('a');
    const late = turns.next('a');
    expect(late).toBe(rankOf(20, 1));
    // Most of them have ended; what is left was added before and must stay before.
    turns.seen(new Map([['a', 3]]));
    expect(turns.next('a')).toBeGreaterThanOrEqual(late);
    expect(turns.next('b')).toBe(0);
    turns.seen(new Map([['b', 1]]));
    expect(turns.next('a')).toBe(0);
  });

  test('is the last one for who had half of its fair share lately, until others had more', () => {
    const { ranks: turns } = createFairness(alike);
    turns.seen(new Map(Object.entries({ a: 1, b: 1 })));
    // Of the first nobody can say how much it is.
    expect(turns.next('a')).toBeLessThan(MAX_RANK);
    for (let n = 0; n < 99; n += 1) expect(turns.next('a')).toBe(MAX_RANK);
    const few = Array.from({ length: 40 }, () => turns.next('b'));
    expect(few.filter((turn) => turn < MAX_RANK)).toHaveLength(34);
    turns.seen(new Map([['a', 1]]));
    for (let n = 0; n < 5_000; n += 1) turns.next('a');
    expect(turns.next('b')).toBe(0);
  });

  test('takes in what other processes have added', () => {
    const { ranks: turns } = createFairness(alike);
    turns.seen(new Map([['a', 500]]));
    expect(turns.next('a')).toBe(rankOf(500, 1));
  });
});

describe('the dispatcher', () => {
  test('gives all room to the only tenant that waits', () => {
    expect(granted(100, 500, use({ a: 40 }, 'a'), alike)).toEqual({ a: 60 });
    expect(granted(100, 20, use({}, 'a'), alike)).toEqual({ a: 20 });
    expect(granted(100, 500, use({ a: 100 }, 'a'), alike)).toEqual({});
  });

  test('shares what is free by weight', () => {
    expect(granted(1_000, 100, use({}, 'a', 'b'), alike)).toEqual({ a: 50, b: 50 });
    const weightOf = (id: string) => ({ a: 4, b: 1 })[id] ?? 1;
    expect(granted(1_000, 100, use({}, 'a', 'b'), weightOf)).toEqual({ a: 80, b: 20 });
    const halves = (id: string) => ({ a: 0.5, b: 0.25 })[id] ?? 1;
    expect(granted(1_000, 99, use({}, 'a', 'b'), halves)).toEqual({ a: 66, b: 33 });
  });

  test('brings a new tenant to its share before one that has its own gets more', () => {
    expect(granted(100, 500, use({ a: 70 }, 'a', 'b'), alike)).toEqual({ b: 40 });
    expect(granted(100, 500, use({ a: 40 }, 'a', 'b'), alike)).toEqual({ a: 10, b: 50 });
  });

  test('lets a tenant in although another one has filled the window, as far as the reserve goes', () => {
    expect(granted(100, 500, use({ a: 100 }, 'a', 'b'), alike)).toEqual({ b: 10 });
    expect(granted(100, 500, use({ a: 100, b: 10 }, 'a', 'b'), alike)).toEqual({});
  });

  test('passes over nobody for ever: with one slot at a time all of them get theirs', () => {
    let progress: ReadonlyMap<string, number> = new Map();
    const got = new Map<string, number>();
    const weightOf = (id: string) => (id === 'a' ? 2 : 1);
    for (let n = 0; n < 400; n += 1) {
      const round = shareOut(1_000_000, 1, use({}, 'a', 'b', 'c'), { weightOf, progress });
      progress = round.progress;
      for (const [id, count] of round.grants) got.set(id, (got.get(id) ?? 0) + count);
    }
    expect([got.get('a'), got.get('b'), got.get('c')]).toEqual([200, 100, 100]);
  });

  test('adds the runs of several tenants in the order of their slots, each tenant its own in their order', () => {
    const weightOf = (id: string) => (id === 'a' ? 2 : 1);
    const { order } = shareOut(6, 6, use({}, 'a', 'b'), { weightOf });
    expect(order).toEqual(['a', 'b', 'a', 'a', 'b', 'a']);
    const taken = ['a1', 'a2', 'a3', 'b1'].map((id) => ({ id, tenantId: id[0] ?? '' }));
    expect(inOrderOfSlots(order, taken).map(({ id }) => id)).toEqual(['a1', 'b1', 'a2', 'a3']);
  });

  test.each([1, 3, 6, 11, 20])('keeps to the weights when it counts once in %i starts', (starts) => {
    const weightOf = (id: string) => (id === 'heavy' ? 4 : 1);
    let progress: ReadonlyMap<string, number> = new Map();
    const queue: string[] = [];
    const begun = { heavy: 0, light: 0 };
    for (let n = 0; n < 600; n += starts) {
      const inQueue = {
        heavy: queue.filter((id) => id === 'heavy').length,
        light: queue.filter((id) => id === 'light').length,
      };
      const round = shareOut(20, 500, use(inQueue, 'heavy', 'light'), { weightOf, progress });
      progress = round.progress;
      queue.push(...round.order);
      for (const id of queue.splice(0, starts)) begun[id === 'heavy' ? 'heavy' : 'light'] += 1;
    }
    expect(begun.heavy / begun.light).toBeCloseTo(4, 0);
  });
});

describe('the API', () => {
  test('has the room of the window for everybody while nobody waits, or while there is plenty', () => {
    expect(roomForNewRuns(100, use({ a: 90 }), 'a', alike)).toBe(10);
    expect(roomForNewRuns(100, use({ a: 100 }), 'b', alike)).toBe(0);
    expect(roomForNewRuns(100, use({ a: 40 }, 'a'), 'a', alike)).toBe(60);
  });

  test('leaves a tenant to the dispatcher while older runs of it wait', () => {
    expect(roomForNewRuns(100, use({ a: 90 }, 'a'), 'a', alike)).toBe(0);
  });

  test('has room for another tenant up to its share, and the reserve when the window is full', () => {
    expect(roomForNewRuns(100, use({ a: 80 }, 'a'), 'b', alike)).toBe(30);
    expect(roomForNewRuns(100, use({ a: 60, b: 45 }, 'a'), 'b', alike)).toBe(5);
    expect(roomForNewRuns(100, use({ a: 100 }, 'a'), 'b', alike)).toBe(10);
    expect(roomForNewRuns(100, use({ a: 60, b: 50 }, 'a'), 'b', alike)).toBe(0);
  });
});
