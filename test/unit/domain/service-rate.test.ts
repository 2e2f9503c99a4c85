import fc from 'fast-check';
import { expect, test } from 'vitest';
import { type ServiceLimit, serviceKey, takeRateSlot } from '../../../src/domain/service-rate.ts';
import { NonRetryableError } from '../../../workers/adapter.ts';
import { Sleep } from '../../../workers/execution.ts';
import { plainError, revivedError } from '../../../workers/isolation-protocol.ts';

/** Plays calls that come at `asksAt` and come back `late(n)` after their slot. When each was made. */
function play(limit: ServiceLimit, asksAt: readonly number[], late: (n: number) => number) {
  const used: number[] = [];
  const pending = asksAt.map((at) => ({ at, slotAt: undefined as number | undefined }));
  let batch: { batchAt: number | undefined; batchPlanned: number } = { batchAt: undefined, batchPlanned: 0 };
  let deliveries = 0;
  while (pending.length > 0) {
    pending.sort((a, b) => a.at - b.at);
    const call = pending.shift();
    if (call === undefined) break;
    deliveries += 1;
    const now = call.at;
    const slot = takeRateSlot(limit, { now, usedAt: used[used.length - limit.max], slotAt: call.slotAt, ...batch });
    batch = { batchAt: slot.batchAt, batchPlanned: slot.batchPlanned };
    if (slot.at <= now) used.push(now);
    else pending.push({ at: slot.at + late(deliveries), slotAt: slot.at });
    if (deliveries > 100 * asksAt.length) throw new Error('they come back for ever');
  }
  return { used, deliveries };
}

const limits = fc.record({ max: fc.integer({ min: 1, max: 6 }), perMs: fc.integer({ min: 1, max: 1_000 }) });

test('no period sees more calls than the limit, however late each comes back, and each is let through in the end', () => {
  const times = fc.array(fc.integer({ min: 0, max: 5_000 }), { minLength: 1, maxLength: 40 });
  const lateness = fc.array(fc.integer({ min: 0, max: 4_000 }), { minLength: 1, maxLength: 20 });
  fc.assert(
    fc.property(limits, times, lateness, (limit, asksAt, late) => {
      const { used } = play(limit, asksAt, (n) => late[n % late.length] ?? 0);
      expect(used).toHaveLength(asksAt.length);
      for (const [n, at] of used.entries()) {
        const next = used[n + limit.max];
        if (next !== undefined) expect(next - at).toBeGreaterThanOrEqual(limit.perMs);
      }
    }),
  );
});

test('who comes back in time waits once, and the limit is used up', () => {
  const { used, deliveries } = play({ max: 4, perMs: 1_000 }, Array<number>(12).fill(7), () => 0);
  expect(used).toEqual([7, 1_007, 2_007].flatMap((at) => Array<number>(4).fill(at)));
  expect(deliveries).toBe(12 + 8);
});

test('calls below the limit do not wait, also right after one another', () => {
  const asksAt = [0, 0, 0, 900, 1_000, 1_000, 1_000, 1_900];
  expect(play({ max: 4, perMs: 1_000 }, asksAt, () => 0).used).toEqual(asksAt);
});

test('a slot that has not come is given again, and takes no other', () => {
  const state = { now: 10, usedAt: 5, slotAt: 1_005, batchAt: 5, batchPlanned: 1 };
  expect(takeRateSlot({ max: 1, perMs: 1_000 }, state)).toEqual({ at: 1_005, batchAt: 5, batchPlanned: 1 });
});

test('a service is known by its name in lower case with underscores', () => {
  expect(serviceKey('Doc-Store')).toBe('doc_store');
});

test('a wait for a slot is one in an isolated process too, and other errors stay what they are', () => {
  const until = new Date(1_000);
  expect(revivedError(structuredClone(plainError(new Sleep(until))))).toEqual(new Sleep(until));
  expect(revivedError(plainError(new Sleep(until)))).toBeInstanceOf(Sleep);
  expect(revivedError(plainError(new NonRetryableError('no')))).toBeInstanceOf(NonRetryableError);
});
