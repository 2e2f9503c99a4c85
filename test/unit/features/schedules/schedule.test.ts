/** When a schedule is due: expressions, intervals, single moments, and clocks that are put forward and back. */
import { describe, expect, test } from 'vitest';
import {
  cronFault,
  dueSlots,
  jitterMs,
  nextSlot,
  nextSlots,
  onOverlap,
  type Timing,
} from '../../../../src/features/schedules/domain.ts';
import { isTimeZone, utcOffsetMs } from '../../../../src/features/schedules/time-zone.ts';

const ms = (text: string) => Date.parse(text);
const slots = (timing: Timing, after: string, count: number) =>
  nextSlots(timing, ms(after), count).map((slot) => new Date(slot).toISOString().replace('.000Z', 'Z'));
const berlin = (cron: string): Timing => ({ cron, timezone: 'Europe/Berlin' });
const newYork = (cron: string): Timing => ({ cron, timezone: 'America/New_York' });
const utc = (cron: string): Timing => ({ cron, timezone: 'UTC' });

describe('an expression', () => {
  test('names moments of the wall clock of its zone, in summer and in winter', () => {
    expect(slots(berlin('0 9 * * *'), '2026-01-10T00:00:00Z', 1)).toEqual(['2026-01-10T08:00:00Z']);
    expect(slots(berlin('0 9 * * *'), '2026-07-10T00:00:00Z', 1)).toEqual(['2026-07-10T07:00:00Z']);
    expect(slots(newYork('30 17 * * 1-5'), '2026-07-10T22:00:00Z', 2)).toEqual([
      '2026-07-13T21:30:00Z',
      '2026-07-14T21:30:00Z',
    ]);
  });

  test('of six fields starts with the second', () => {
    expect(slots(utc('*/20 * * * * *'), '2026-01-01T00:00:05Z', 3)).toEqual([
      '2026-01-01T00:00:20Z',
      '2026-01-01T00:00:40Z',
      '2026-01-01T00:01:00Z',
    ]);
    expect(slots(utc('* * * * * *'), '2026-01-01T00:00:05.250Z', 2)).toEqual([
      '2026-01-01T00:00:06Z',
      '2026-01-01T00:00:07Z',
    ]);
  });

  test('that names the leap day has a slot in leap years only', () => {
    expect(slots(utc('0 0 29 2 *'), '2026-01-01T00:00:00Z', 2)).toEqual([
      '2028-02-29T00:00:00Z',
      '2032-02-29T00:00:00Z',
    ]);
  });

  test('that names no day of any year has no slot', () => {
    expect(nextSlot(utc('0 0 31 4,6 *'), ms('2026-01-01T00:00:00Z'))).toBeUndefined();
  });

  test('a slot is never its own next one', () => {
    expect(slots(utc('0 12 * * *'), '2026-01-01T12:00:00Z', 1)).toEqual(['2026-01-02T12:00:00Z']);
  });
});

describe('when clocks are put forward', () => {
  // Berlin: 29 March 2026, 02:00 -> 03:00 (01:00Z). New York: 8 March 2026, 02:00 -> 03:00 (07:00Z).
  test.each([
    [berlin('30 2 * * *'), '2026-03-28T12:00:00Z', ['2026-03-29T01:00:00Z', '2026-03-30T00:30:00Z']],
    [newYork('30 2 * * *'), '2026-03-07T12:00:00Z', ['2026-03-08T07:00:00Z', '2026-03-09T06:30:00Z']],
  ])('a time of the day that does not exist is taken at the end of the gap: %j', (timing, after, expected) => {
    expect(slots(timing, after, 2)).toEqual(expected);
  });

  test('several times in the gap are one slot, also together with the one at its end', () => {
    expect(slots(berlin('0,15,30,45 2,3 * * *'), '2026-03-29T00:00:00Z', 3)).toEqual([
      '2026-03-29T01:00:00Z',
      '2026-03-29T01:15:00Z',
      '2026-03-29T01:30:00Z',
    ]);
  });

  test('what runs in every hour goes on at its pace', () => {
    expect(slots(berlin('*/30 * * * *'), '2026-03-29T00:15:00Z', 3)).toEqual([
      '2026-03-29T00:30:00Z',
      '2026-03-29T01:00:00Z',
      '2026-03-29T01:30:00Z',
    ]);
    expect(slots(newYork('0 * * * *'), '2026-03-08T05:30:00Z', 3)).toEqual([
      '2026-03-08T06:00:00Z',
      '2026-03-08T07:00:00Z',
      '2026-03-08T08:00:00Z',
    ]);
  });
});

describe('when clocks are put back', () => {
  // Berlin: 25 October 2026, 03:00 -> 02:00 (01:00Z). New York: 1 November 2026, 02:00 -> 01:00 (06:00Z).
  test.each([
    [berlin('30 2 * * *'), '2026-10-24T12:00:00Z', ['2026-10-25T00:30:00Z', '2026-10-26T01:30:00Z']],
    [newYork('30 1 * * *'), '2026-10-31T12:00:00Z', ['2026-11-01T05:30:00Z', '2026-11-02T06:30:00Z']],
  ])('a time of the day that comes twice is taken once, the first time: %j', (timing, after, expected) => {
    expect(slots(timing, after, 2)).toEqual(expected);
  });

  test('asked between the two, the second one is still none', () => {
    expect(slots(berlin('30 2 * * *'), '2026-10-25T00:45:00Z', 1)).toEqual(['2026-10-26T01:30:00Z']);
    expect(slots(berlin('30 2 * * *'), '2026-10-25T01:15:00Z', 1)).toEqual(['2026-10-26T01:30:00Z']);
  });

  test('what runs in every hour goes on at its pace, through both', () => {
    expect(slots(berlin('*/30 * * * *'), '2026-10-24T23:45:00Z', 6)).toEqual([
      '2026-10-25T00:00:00Z',
      '2026-10-25T00:30:00Z',
      '2026-10-25T01:00:00Z',
      '2026-10-25T01:30:00Z',
      '2026-10-25T02:00:00Z',
      '2026-10-25T02:30:00Z',
    ]);
    expect(slots(newYork('0 * * * *'), '2026-11-01T04:30:00Z', 3)).toEqual([
      '2026-11-01T05:00:00Z',
      '2026-11-01T06:00:00Z',
      '2026-11-01T07:00:00Z',
    ]);
  });

  test('half an hour is enough to be distinguished', () => {
    // Lord Howe: 5 April 2026, 02:00 -> 01:30 (15:00Z the day before).
    expect(slots({ cron: '45 1 * * *', timezone: 'Australia/Lord_Howe' }, '2026-04-04T12:00:00Z', 2)).toEqual([
      '2026-04-04T14:45:00Z',
      '2026-04-05T15:15:00Z',
    ]);
  });
});

test('a day that a zone left out is taken at its end', () => {
  // Samoa had no 30 December 2011.
  expect(slots({ cron: '0 12 30 12 *', timezone: 'Pacific/Apia' }, '2011-12-29T00:00:00Z', 1)).toEqual([
    '2011-12-30T10:00:00Z',
  ]);
});

describe('an interval', () => {
  const anchorMs = ms('2026-01-01T10:00:07Z');
  test('is counted from its anchor, whenever it is computed', () => {
    const timing = { intervalSeconds: 90, anchorMs };
    expect(slots(timing, '2026-01-01T10:00:07Z', 2)).toEqual(['2026-01-01T10:01:37Z', '2026-01-01T10:03:07Z']);
    expect(slots(timing, '2026-01-01T10:03:06Z', 1)).toEqual(['2026-01-01T10:03:07Z']);
    expect(slots(timing, '2026-01-01T10:03:07Z', 1)).toEqual(['2026-01-01T10:04:37Z']);
    expect(slots(timing, '2025-01-01T00:00:00Z', 1)).toEqual(['2026-01-01T10:01:37Z']);
  });
});

test('a single moment is one slot', () => {
  const timing = { atMs: ms('2026-05-01T00:00:00Z') };
  expect(slots(timing, '2026-04-30T00:00:00Z', 3)).toEqual(['2026-05-01T00:00:00Z']);
  expect(slots(timing, '2026-05-01T00:00:00Z', 3)).toEqual([]);
});

describe('what is due', () => {
  const minutely = { id: 's', timing: utc('* * * * *'), jitterSeconds: 0, catchupSeconds: 600 };
  const at = (text: string) => ms(`2026-01-01T${text}Z`);

  test('is every slot since the last one, up to and with now', () => {
    expect(dueSlots(minutely, at('10:00:00'), at('10:03:00'), 100)).toEqual({
      slots: [at('10:01:00'), at('10:02:00'), at('10:03:00')],
      missed: undefined,
      missedUntil: at('09:53:00'),
      last: at('10:03:00'),
      nextDue: at('10:04:00'),
    });
  });

  test('is nothing before its time', () => {
    expect(dueSlots(minutely, at('10:00:00'), at('10:00:59.999'), 100)).toMatchObject({
      slots: [],
      last: at('10:00:00'),
      nextDue: at('10:01:00'),
    });
  });

  test('after a long pause is what the window covers; what is older is missed', () => {
    const due = dueSlots(minutely, at('08:00:00'), at('10:00:30'), 100);
    expect(due.missed).toBe(at('08:01:00'));
    expect(due.slots[0]).toBe(at('09:51:00'));
    expect(due.slots.at(-1)).toBe(at('10:00:00'));
    expect(due.slots).toHaveLength(10);
  });

  test('is taken in portions, the rest being due at once', () => {
    const due = dueSlots(minutely, at('10:00:00'), at('10:05:00'), 2);
    expect(due.slots).toEqual([at('10:01:00'), at('10:02:00')]);
    expect(due.nextDue).toBe(at('10:03:00'));
    expect(dueSlots(minutely, due.last, at('10:05:00'), 100).slots).toHaveLength(3);
  });

  test('a single moment that lies beyond the window is missed, and nothing comes after it', () => {
    const once = { ...minutely, timing: { atMs: at('10:00:00') } };
    expect(dueSlots(once, at('09:00:00'), at('10:10:00'), 100)).toMatchObject({
      slots: [at('10:00:00')],
      nextDue: undefined,
    });
    expect(dueSlots(once, at('09:00:00'), at('10:10:01'), 100)).toMatchObject({
      slots: [],
      missed: at('10:00:00'),
      nextDue: undefined,
    });
  });

  test('waits for the jitter of its slot', () => {
    const shaken = { ...minutely, jitterSeconds: 30 };
    const due = at('10:01:00') + jitterMs('s', at('10:01:00'), 30);
    expect(dueSlots(shaken, at('10:00:00'), due - 1, 100)).toMatchObject({ slots: [], nextDue: due });
    expect(dueSlots(shaken, at('10:00:00'), due, 100)).toMatchObject({ slots: [at('10:01:00')] });
  });
});

test('jitter differs from slot to slot and from schedule to schedule, and fills its range', () => {
  const found = Array.from({ length: 1_000 }, (_, index) => jitterMs('s', index * 1000, 10));
  expect(new Set(found).size).toBeGreaterThan(900);
  expect(Math.max(...found)).toBeGreaterThan(9_500);
  expect(Math.min(...found)).toBeLessThan(500);
  expect(jitterMs('s', 1000, 10)).not.toBe(jitterMs('t', 1000, 10));
  expect(jitterMs('s', 1000, 0)).toBe(0);
});

test.each([
  ['skip', 'start', 'skip'],
  ['queue', 'start', 'wait'],
  ['cancel_previous', 'start', 'replace'],
  ['allow', 'start', 'start'],
] as const)('%s: alone it would %s, beside another run %s', (overlap, alone, beside) => {
  expect(onOverlap(overlap, 0, 0)).toBe(alone);
  expect(onOverlap(overlap, 1, 0)).toBe(beside);
  expect(onOverlap(overlap, 0, 1)).toBe(beside);
});

describe('a wrong expression is rejected with what is wrong', () => {
  test.each([
    ['61 * * * *', /minute of '61'.*range 0-59/],
    ['0 25 * * *', /hour of '25'.*range 0-23/],
    ['0 0 32 * *', /day of month of '32'/],
    ['0 0 * 13 *', /month of '13'/],
    ['0 0 * * 8', /day of week of '8'/],
    ['75 0 0 * * *', /second of '75'/],
    ['every day', /has 2 fields/],
    ['', /has 0 fields/],
    ['* * * * * * *', /has 7 fields/],
    ['0 0 30 2 *', /cannot be read: Invalid explicit day of month/],
    ['@sometimes', /cannot resolve alias/],
    ['H 0 * * *', /cannot have H/],
    ['0 0 * * 1,h', /cannot have H/],
  ])('%s', (cron, fault) => {
    expect(cronFault(cron)).toMatch(fault);
  });

  test.each(['* * * * *', '*/5 9-17 * * MON-FRI', '0 0 L * *', '0 0 * * THU', '@daily', '0 0 29 2 *', '30 0 0 1 1 *'])(
    '%s is right',
    (cron) => {
      expect(cronFault(cron)).toBeUndefined();
    },
  );
});

test('a time zone is one that has a name', () => {
  expect(['UTC', 'Europe/Berlin', 'Asia/Kathmandu'].every(isTimeZone)).toBe(true);
  expect(['', 'Berlin', 'Europe/Nowhere'].some(isTimeZone)).toBe(false);
  expect(utcOffsetMs('Asia/Kathmandu', ms('2026-01-01T00:00:00Z'))).toBe(5.75 * 3_600_000);
  expect(utcOffsetMs('America/New_York', ms('1969-07-20T20:17:40.500Z'))).toBe(-4 * 3_600_000);
});
