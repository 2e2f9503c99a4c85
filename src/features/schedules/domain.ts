/**
 * When a schedule is due. A **slot** is a moment that its timing names, in milliseconds since 1970; a slot is started
 * `jitterMs` later. Slots depend on the timing alone, never on when they are computed, so any two processes agree on them.
 *
 * Where clocks are put forward or back, an expression that names its hours means times of the day: a time that does not
 * exist that day is taken at the first moment after the gap, one that comes twice is taken the first time, and several
 * that fall on one moment are one slot. An expression that runs in every hour means a pace: it follows the wall clock
 * as it stands, through the gap and through both of the hours that have the same name.
 */
import { CronExpressionParser } from 'cron-parser';
import { utcOffsetMs } from './time-zone.ts';

export type Timing =
  | { cron: string; timezone: string }
  /** Counted from `anchorMs`, which is no slot itself. */
  | { intervalSeconds: number; anchorMs: number }
  | { atMs: number };

export type Overlap = 'skip' | 'queue' | 'cancel_previous' | 'allow';

const DAY_MS = 86_400_000;
/** An expression names few moments of the clock; a zone has some changes a year. */
const MAX_STEPS = 20_000;

/** The first slot after that moment; undefined when there is none. */
export function nextSlot(timing: Timing, afterMs: number): number | undefined {
  if ('atMs' in timing) return timing.atMs > afterMs ? timing.atMs : undefined;
  if ('intervalSeconds' in timing) {
    const everyMs = timing.intervalSeconds * 1000;
    const count = Math.max(1, Math.floor((afterMs - timing.anchorMs) / everyMs) + 1);
    return timing.anchorMs + count * everyMs;
  }
  return nextOfCron(timing.cron, timing.timezone, afterMs);
}

export function nextSlots(timing: Timing, afterMs: number, count: number): number[] {
  const slots: number[] = [];
  let at: number | undefined = afterMs;
  while (slots.length < count) {
    at = nextSlot(timing, at);
    if (at === undefined) break;
    slots.push(at);
  }
  return slots;
}

/** Below `jitterSeconds`, and always the same for a slot. */
export function jitterMs(scheduleId: string, slot: number, jitterSeconds: number): number {
  if (jitterSeconds === 0) return 0;
  return Math.floor((hash(`${scheduleId}/${slot}`) / 2 ** 32) * jitterSeconds * 1000);
}

export interface Due {
  /** To be started now, oldest first. */
  slots: number[];
  /** The first slot that is too old to be started; every one before `missedUntil` is. */
  missed: number | undefined;
  missedUntil: number;
  /** The last slot that is decided about with this. */
  last: number;
  /** When the next slot is to be started. May be in the past already, when there are more than `limit`. */
  nextDue: number | undefined;
}

/** What is due after the slot `lastMs`. A slot that was due longer ago than the window is missed. */
export function dueSlots(
  schedule: { id: string; timing: Timing; jitterSeconds: number; catchupSeconds: number },
  lastMs: number,
  nowMs: number,
  limit: number,
): Due {
  const { id, timing, jitterSeconds, catchupSeconds } = schedule;
  const missedUntil = nowMs - (catchupSeconds + jitterSeconds) * 1000;
  const first = nextSlot(timing, lastMs);
  const missed = first !== undefined && first < missedUntil ? first : undefined;
  let last = missed === undefined ? lastMs : missedUntil - 1;
  const slots: number[] = [];
  for (;;) {
    const slot = nextSlot(timing, last);
    if (slot === undefined) return { slots, missed, missedUntil, last, nextDue: undefined };
    const due = slot + jitterMs(id, slot, jitterSeconds);
    if (due > nowMs || slots.length === limit) return { slots, missed, missedUntil, last, nextDue: due };
    slots.push(slot);
    last = slot;
  }
}

/** What to do about a slot while `active` runs of the schedule go on and `waiting` slots wait for their end. */
export function onOverlap(overlap: Overlap, active: number, waiting: number): 'start' | 'skip' | 'wait' | 'replace' {
  if (overlap === 'allow' || (active === 0 && waiting === 0)) return 'start';
  if (overlap === 'skip') return 'skip';
  return overlap === 'queue' ? 'wait' : 'replace';
}

const FIELDS = ['second', 'minute', 'hour', 'day of month', 'month', 'day of week'];

/** What is wrong with an expression, undefined when nothing is. */
export function cronFault(cron: string): string | undefined {
  const fields = cron.trim().split(/\s+/);
  const isAlias = fields.length === 1 && cron.startsWith('@');
  if (!isAlias && fields.length !== 5 && fields.length !== 6) {
    return `has ${cron.trim() === '' ? 0 : fields.length} fields; there are five (minute, hour, day of month, month, day of week) or six, with the second before them`;
  }
  // It would be another moment at every reading.
  if (fields.some((field) => /(^|,)H/i.test(field))) return 'cannot have H: name the value, or use jitter_seconds';
  const names = FIELDS.slice(-fields.length);
  for (const [index, field] of isAlias ? [] : fields.entries()) {
    const alone = fields.map((_, at) => (at === index ? field : '*')).join(' ');
    const fault = parseFault(alone);
    if (fault !== undefined) return `has a ${names[index]} of '${field}' that cannot be read: ${fault}`;
  }
  const fault = parseFault(cron);
  return fault === undefined ? undefined : `cannot be read: ${fault}`;
}

function parseFault(cron: string): string | undefined {
  try {
    CronExpressionParser.parse(cron, { tz: 'UTC', currentDate: 0 });
    return undefined;
  } catch (error) {
    return error instanceof Error ? error.message.replace(/^(Constraint|Validation) error, /, '') : String(error);
  }
}

/** Wall-clock times are written as if they were in UTC, where no clock is ever changed. */
function createWallClock(cron: string): { everyHour: boolean; next(afterWall: number): number | undefined } {
  const expression = CronExpressionParser.parse(cron, { tz: 'UTC', currentDate: 0 });
  return {
    everyHour: expression.fields.hour.values.length === 24,
    next(afterWall) {
      // From the next full second on: a fraction would be carried into the answer.
      const cursor = CronExpressionParser.parse(cron, { tz: 'UTC', currentDate: Math.floor(afterWall / 1000) * 1000 });
      try {
        return cursor.next().getTime();
      } catch {
        return undefined; // No such day in any year that it tries.
      }
    },
  };
}

function nextOfCron(cron: string, zone: string, afterMs: number): number | undefined {
  const wall = createWallClock(cron);
  return wall.everyHour ? nextByPace(wall.next, zone, afterMs) : nextByDay(wall.next, zone, afterMs);
}

function nextByDay(next: (wall: number) => number | undefined, zone: string, afterMs: number): number | undefined {
  let at: number | undefined = afterMs + utcOffsetMs(zone, afterMs);
  for (let step = 0; step < MAX_STEPS; step += 1) {
    at = next(at);
    if (at === undefined) return undefined;
    const moment = firstMomentOf(at, zone);
    if (moment > afterMs) return moment;
  }
  return undefined;
}

function nextByPace(next: (wall: number) => number | undefined, zone: string, afterMs: number): number | undefined {
  let from = afterMs;
  let offset = utcOffsetMs(zone, from);
  for (let step = 0; step < MAX_STEPS; step += 1) {
    const at = next(from + offset);
    if (at === undefined) return undefined;
    const moment = at - offset;
    if (utcOffsetMs(zone, moment) === offset) return moment;
    // The clocks are changed before that moment comes: go on from the change, with the new offset.
    const change = changeBetween(zone, from, moment);
    offset = utcOffsetMs(zone, change);
    from = change - 1;
  }
  return undefined;
}

/** The first moment with this wall-clock time, or the end of the gap that it lies in. */
function firstMomentOf(wall: number, zone: string): number {
  const before = utcOffsetMs(zone, wall - DAY_MS);
  const after = utcOffsetMs(zone, wall + DAY_MS);
  const moments = [wall - before, wall - after].filter((moment) => moment + utcOffsetMs(zone, moment) === wall);
  if (moments.length > 0) return Math.min(...moments);
  return changeBetween(zone, wall - DAY_MS - after, wall + DAY_MS - before);
}

/** The first millisecond of another offset than that of `from`; `to` has another one. */
function changeBetween(zone: string, from: number, to: number): number {
  const offset = utcOffsetMs(zone, from);
  let low = from;
  let high = to;
  while (high - low > 1) {
    const middle = Math.floor((low + high) / 2);
    if (utcOffsetMs(zone, middle) === offset) low = middle;
    else high = middle;
  }
  return high;
}

/** FNV-1a with a final mix, so that neighbouring slots lie apart. */
function hash(text: string): number {
  let value = 0x811c9dc5;
  for (let at = 0; at < text.length; at += 1) value = Math.imul(value ^ text.charCodeAt(at), 0x01000193);
  value = Math.imul(value ^ (value >>> 16), 0x85ebca6b);
  value = Math.imul(value ^ (value >>> 13), 0xc2b2ae35);
  return (value ^ (value >>> 16)) >>> 0;
}
