import { afterEach, describe, expect, test, vi } from 'vitest';
import { createBatcher } from '../../../../src/store/core/batch.ts';

afterEach(() => {
  vi.useRealTimers();
});

const settledOf = async (work: Array<Promise<unknown>>) =>
  (await Promise.allSettled(work)).map((result) =>
    result.status === 'fulfilled' ? result.value : `rejected: ${(result.reason as Error).message}`,
  );
const double = (items: number[]) => items.map((item) => item * 2);

/** Flushes that end when the test says so. */
function heldFlushes() {
  const batches: number[][] = [];
  const held: Array<() => void> = [];
  return {
    batches,
    release: () => held.shift()?.(),
    flush: (items: number[]) =>
      new Promise<number[]>((resolve) => {
        batches.push(items);
        held.push(() => resolve(double(items)));
      }),
  };
}

test('what comes in one tick of the event loop leaves together, each with its own answer', async () => {
  const batches: number[][] = [];
  const add = createBatcher<number, number>({
    maxItems: 100,
    async flush(items) {
      batches.push(items);
      return double(items);
    },
  });
  expect(await Promise.all([1, 2, 3].map((n) => add(n)))).toEqual([2, 4, 6]);
  expect(batches).toEqual([[1, 2, 3]]);
});

test('what comes while a batch is under way leaves in the next one, at most so many at a time', async () => {
  const { batches, release, flush } = heldFlushes();
  const add = createBatcher<number, number>({ maxItems: 3, flush });
  const answers = [add(1)];
  await vi.waitUntil(() => batches.length === 1);
  answers.push(...[2, 3, 4, 5].map((n) => add(n)));
  expect(add.size()).toBe(5);
  release();
  await vi.waitUntil(() => batches.length === 2);
  expect(add.size()).toBe(4);
  release();
  await vi.waitUntil(() => batches.length === 3);
  release();
  expect(await Promise.all(answers)).toEqual([2, 4, 6, 8, 10]);
  expect(batches).toEqual([[1], [2, 3, 4], [5]]);
  await vi.waitUntil(() => add.size() === 0);
});

test('while a large batch is under way, a few items of others leave beside it, and more of its own do not', async () => {
  const { batches, release, flush } = heldFlushes();
  // By their hundreds.
  const add = createBatcher<number, number>({ maxItems: 100, partyOf: (n) => String(Math.floor(n / 100)), flush });
  const many = Array.from({ length: 10 }, (_, n) => add(100 + n));
  await vi.waitUntil(() => batches.length === 1);
  const more = add(110);
  const others = Array.from({ length: 12 }, (_, n) => add(200 + n));
  await vi.waitUntil(() => batches.length === 2);
  expect(batches[1]).toEqual([200, 201, 202, 203, 204, 205, 206, 207]);
  expect(add.size()).toBe(23);
  expect(add.underWayMs()).toBeGreaterThan(0);
  release();
  await Promise.all(many);
  await vi.waitUntil(() => batches.length === 3);
  expect(batches[2]).toEqual([110, 208, 209, 210, 211]);
  release();
  release();
  await Promise.all([more, ...others]);
  await add.drain();
});

test('beside a small batch nobody leaves: it has ended soon', async () => {
  const { batches, release, flush } = heldFlushes();
  const add = createBatcher<number, number>({ maxItems: 100, partyOf: String, flush });
  const first = add(1);
  await vi.waitUntil(() => batches.length === 1);
  const second = add(2);
  await new Promise((resolve) => setTimeout(resolve, 20));
  expect(batches).toEqual([[1]]);
  release();
  await vi.waitUntil(() => batches.length === 2);
  release();
  expect(await Promise.all([first, second])).toEqual([2, 4]);
});

describe('when a statement fails', () => {
  test('a fault in the data is tracked down to its own item; the others are not harmed', async () => {
    const batches: number[][] = [];
    const add = createBatcher<number, number>({
      maxItems: 100,
      async flush(items) {
        batches.push(items);
        if (items.includes(6)) throw new Error('six');
        return double(items);
      },
      isDataFault: () => true,
    });
    const answers = await settledOf([1, 2, 3, 4, 5, 6, 7, 8].map((n) => add(n)));
    expect(answers).toEqual([2, 4, 6, 8, 10, 'rejected: six', 14, 16]);
    // Halved each time: the fault costs about 2 log2(n) statements, not n.
    expect(batches.length).toBeLessThanOrEqual(7);
  });

  test('a fault that passes is waited for and the same batch is sent again', async () => {
    const batches: number[][] = [];
    const tries: number[] = [];
    vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] });
    const add = createBatcher<number, number>({
      maxItems: 100,
      async flush(items) {
        batches.push(items);
        if (batches.length < 3) throw new Error('away');
        return double(items);
      },
      retryAfter(_error, count) {
        tries.push(count);
        return 1_000;
      },
    });
    const answers = Promise.all([add(1), add(2)]);
    await new Promise(setImmediate);
    expect(batches).toHaveLength(1);
    await vi.advanceTimersByTimeAsync(999);
    expect(batches).toHaveLength(1);
    await vi.advanceTimersByTimeAsync(1);
    expect(batches).toHaveLength(2);
    await vi.advanceTimersByTimeAsync(1_000);
    expect(await answers).toEqual([2, 4]);
    expect(batches).toEqual([
      [1, 2],
      [1, 2],
      [1, 2],
    ]);
    expect(tries).toEqual([1, 2]);
  });

  test('a fault that does not pass is the answer to every item, and the next batch goes on', async () => {
    let broken = true;
    const add = createBatcher<number, number>({
      maxItems: 100,
      async flush(items) {
        if (broken) throw new Error('broken');
        return double(items);
      },
      retryAfter: () => undefined,
    });
    expect(await settledOf([add(1), add(2)])).toEqual(['rejected: broken', 'rejected: broken']);
    broken = false;
    expect(await add(3)).toBe(6);
  });

  test('a statement that gives too few answers fails only those that have none', async () => {
    const add = createBatcher<number, number>({ maxItems: 100, flush: async (items) => double(items.slice(0, 1)) });
    expect(await settledOf([add(1), add(2)])).toEqual([2, 'rejected: a batch gave fewer answers than it had items']);
  });

  test('an answer that is undefined is an answer', async () => {
    const add = createBatcher<number, undefined>({ maxItems: 100, flush: async (items) => items.map(() => undefined) });
    expect(await add(1)).toBeUndefined();
  });
});

test('what lingers is sent at once when the batcher is drained', async () => {
  const batches: number[][] = [];
  const add = createBatcher<number, number>({
    maxItems: 2,
    lingerMs: 600_000,
    async flush(items) {
      batches.push(items);
      return double(items);
    },
  });
  const answers = Promise.all([1, 2, 3].map((n) => add(n)));
  expect(batches).toEqual([]);
  await add.drain();
  expect(add.size()).toBe(0);
  expect(batches).toEqual([[1, 2], [3]]);
  expect(await answers).toEqual([2, 4, 6]);
  await add.drain();
});
