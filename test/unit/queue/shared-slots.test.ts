/** How the workers of the shards of a lane share its slots. */
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { shareSlots } from '../../../src/queue/shared-slots.ts';

/** Workers as BullMQ's are: each takes what waits for it while it has a slot, one at a time, and is woken when it gets more. */
function world(limit: number, shards: number) {
  const later: Array<() => void> = [];
  const slots = shareSlots(limit, shards, (work) => later.push(work));
  const waiting = new Array<number>(shards).fill(0);
  const running = new Array<number>(shards).fill(0);
  let most = 0;
  function take(shard: number) {
    const own = slots[shard];
    while (own !== undefined && (waiting[shard] ?? 0) > 0 && (running[shard] ?? 0) < own.size()) {
      waiting[shard] = (waiting[shard] ?? 0) - 1;
      running[shard] = (running[shard] ?? 0) + 1;
      most = Math.max(most, sum(running));
      own.started();
    }
    own?.drained();
  }
  slots.forEach((own, shard) => {
    // One that has room is waiting for a job, which BullMQ counts as one in hand.
    const inHand = () => Math.min(own.size(), (running[shard] ?? 0) + 1);
    own.attach({ inHand, resized: () => take(shard) });
  });
  const settle = () => {
    for (let work = later.shift(); work !== undefined; work = later.shift()) work();
  };
  return {
    running,
    most: () => most,
    sizes: () => slots.map((own) => own.size()),
    add(shard: number, jobs: number) {
      waiting[shard] = (waiting[shard] ?? 0) + jobs;
      take(shard);
      settle();
    },
    end(shard: number) {
      if (running[shard] === 0) return;
      slots[shard]?.ended();
      running[shard] = (running[shard] ?? 0) - 1;
      take(shard);
      settle();
    },
  };
}
const sum = (numbers: readonly number[]) => numbers.reduce((total, one) => total + one, 0);

describe('the slots of a lane', () => {
  test('are shared evenly as long as nobody needs more', () => {
    expect(world(10, 3).sizes()).toEqual([4, 3, 3]);
    expect(world(3, 3).sizes()).toEqual([1, 1, 1]);
  });

  test('go to the one shard that has work, all but one of each other', () => {
    const { add, running, sizes } = world(10, 3);
    add(1, 100);
    expect(running).toEqual([0, 8, 0]);
    expect(sizes()).toEqual([1, 8, 1]);
  });

  test('come back to a shard that gets work, one with each job that ends, until all have about as many', () => {
    const { add, end, running } = world(9, 3);
    add(1, 1_000);
    add(0, 1_000);
    add(2, 1_000);
    expect(running).toEqual([1, 7, 1]);
    for (let n = 0; n < 10; n += 1) end(1);
    expect(running).toEqual([3, 3, 3]);
  });

  test('are none that a shard has free when another has just run out of work', () => {
    const { add, end, running } = world(9, 3);
    add(0, 3);
    add(1, 100);
    expect(running).toEqual([3, 4, 0]);
    for (let n = 0; n < 3; n += 1) end(0);
    expect(running).toEqual([0, 7, 0]);
  });

  test('are never more than the lane has, and none is lost, whatever comes and ends in whatever order', () => {
    const step = fc.record({
      shard: fc.nat({ max: 3 }),
      jobs: fc.oneof(fc.constant(0), fc.integer({ min: 1, max: 20 })),
    });
    fc.assert(
      fc.property(fc.integer({ min: 4, max: 20 }), fc.array(step, { maxLength: 120 }), (limit, steps) => {
        const { add, end, most, sizes } = world(limit, 4);
        for (const { shard, jobs } of steps) {
          if (jobs === 0) end(shard);
          else add(shard, jobs);
          expect(sum(sizes())).toBe(limit);
          expect(Math.min(...sizes())).toBeGreaterThan(0);
        }
        expect(most()).toBeLessThanOrEqual(limit);
      }),
    );
  });

  test('stay where they are while a worker does not know yet what it has in hand', () => {
    const later: Array<() => void> = [];
    const [first, second] = shareSlots(4, 2, (work) => later.push(work));
    second?.attach({ inHand: () => undefined, resized: () => undefined });
    first?.attach({ inHand: () => 2, resized: () => undefined });
    first?.started();
    first?.started();
    for (const work of later) work();
    expect([first?.size(), second?.size()]).toEqual([2, 2]);
  });
});
