/** What holds for every schedule, wherever and whenever it is asked. */
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { dueSlots, jitterMs, nextSlot, nextSlots, type Timing } from '../../../../src/features/schedules/domain.ts';
import { utcOffsetMs } from '../../../../src/features/schedules/time-zone.ts';

const ZONES = ['UTC', 'Europe/Berlin', 'America/New_York', 'Australia/Lord_Howe', 'Asia/Kathmandu', 'America/Santiago'];
const zones = fc.constantFrom(...ZONES);
/** In the days around every change of the clocks of these years, and anywhere else. */
const moments = fc.integer({ min: Date.UTC(2024, 0, 1), max: Date.UTC(2030, 0, 1) });
const minutes = fc.constantFrom('0', '30', '*/15', '7,37');
const named = fc
  .tuple(minutes, fc.constantFrom('0', '1', '2', '3', '1-3', '0,2,12', '23'), zones)
  .map(([minute, hour, timezone]): Timing => ({ cron: `${minute} ${hour} * * *`, timezone }));
const paced = fc.tuple(minutes, zones).map(([minute, timezone]): Timing => ({ cron: `${minute} * * * *`, timezone }));
const intervals = fc
  .tuple(fc.integer({ min: 1, max: 100_000 }), moments)
  .map(([intervalSeconds, anchorMs]): Timing => ({ intervalSeconds, anchorMs }));
const timings = fc.oneof(named, paced, intervals);

test('slots rise, and from wherever one asks the next one is the same', () => {
  fc.assert(
    fc.property(timings, moments, fc.double({ min: 0, max: 1, noNaN: true }), (timing, after, share) => {
      const slots = nextSlots(timing, after, 12);
      let before = after;
      for (const slot of slots) {
        expect(slot).toBeGreaterThan(before);
        expect(nextSlot(timing, before + Math.floor((slot - 1 - before) * share))).toBe(slot);
        before = slot;
      }
    }),
  );
});

test('an expression that names its hours has on each day as many slots as the wall shows moments, gaps and doubles apart', () => {
  fc.assert(
    fc.property(zones, moments, fc.integer({ min: 0, max: 23 }), (timezone, after, hour) => {
      const slots = nextSlots({ cron: `30 ${hour} * * *`, timezone }, after, 400);
      const days = slots.map((slot) => Math.floor((slot + utcOffsetMs(timezone, slot)) / 86_400_000));
      expect(days).toEqual(days.map((_, index) => (days[0] ?? 0) + index));
    }),
    { numRuns: 25 },
  );
});

test('what runs every quarter of an hour does so in real time, whatever the clocks show', () => {
  fc.assert(
    fc.property(zones, moments, (timezone, after) => {
      const slots = nextSlots({ cron: '*/15 * * * *', timezone }, after, 200);
      for (const [index, slot] of slots.entries())
        if (index > 0) expect(slot - (slots[index - 1] ?? 0)).toBe(15 * 60_000);
    }),
    { numRuns: 50 },
  );
});

test('jitter stays in its bounds and never changes', () => {
  fc.assert(
    fc.property(fc.string(), moments, fc.integer({ min: 0, max: 86_400 }), (id, slot, seconds) => {
      const jitter = jitterMs(id, slot, seconds);
      expect(jitter).toBeGreaterThanOrEqual(0);
      expect(jitter).toBeLessThan(Math.max(1, seconds * 1000));
      expect(jitterMs(id, slot, seconds)).toBe(jitter);
    }),
  );
});

test('however often and by whom it is looked at, every slot is decided about exactly once', () => {
  fc.assert(
    fc.property(
      timings,
      moments,
      fc.array(fc.integer({ min: 0, max: 40_000_000 }), { minLength: 1, maxLength: 12 }),
      fc.integer({ min: 1, max: 5 }),
      fc.integer({ min: 0, max: 3 }),
      (timing, begin, pauses, limit, jitterSeconds) => {
        // A short interval over a long pause would be thousands of slots.
        const isShort = 'intervalSeconds' in timing && timing.intervalSeconds < 10_000;
        const schedule = { id: 's', timing, jitterSeconds, catchupSeconds: 31_536_000 };
        let now = begin;
        let last = begin;
        const taken: number[] = [];
        for (const wait of pauses) {
          now += isShort ? wait % 30_000 : wait;
          const due = dueSlots(schedule, last, now, limit);
          expect(due.missed).toBeUndefined();
          taken.push(...due.slots);
          last = due.last;
        }
        for (;;) {
          const due = dueSlots(schedule, last, now, limit);
          if (due.slots.length === 0) break;
          taken.push(...due.slots);
          last = due.last;
        }
        expect(taken).toEqual(nextSlots(timing, begin, taken.length));
        const next = nextSlot(timing, last) ?? Number.POSITIVE_INFINITY;
        expect(next + jitterMs('s', next, jitterSeconds)).toBeGreaterThan(now);
      },
    ),
  );
});
