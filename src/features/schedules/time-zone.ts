/** How far the clocks of a time zone are ahead of UTC. */

/** Making one costs a thousand times what using it does. */
const MAX_FORMATS = 500;
const formats = new Map<string, Intl.DateTimeFormat>();

export function isTimeZone(zone: string): boolean {
  try {
    formatOf(zone);
    return true;
  } catch {
    return false;
  }
}

export function utcOffsetMs(zone: string, moment: number): number {
  if (zone === 'UTC') return 0;
  // Formats cut fractions of a second off; below zero they would round the other way.
  const second = Math.floor(moment / 1000) * 1000;
  const [day = 0, month = 0, year = 0, hour = 0, minute = 0, at = 0] = formatOf(zone)
    .format(second)
    .split(/\D+/)
    .map(Number);
  return (daysSince1970(year, month, day) * 86_400 + hour * 3600 + minute * 60 + at) * 1000 - second;
}

function formatOf(zone: string): Intl.DateTimeFormat {
  const cached = formats.get(zone);
  if (cached !== undefined) return cached;
  const made = new Intl.DateTimeFormat('en-GB', {
    timeZone: zone,
    hourCycle: 'h23',
    year: 'numeric',
    month: '2-digit',
    day: '2-digit',
    hour: '2-digit',
    minute: '2-digit',
    second: '2-digit',
  });
  if (formats.size >= MAX_FORMATS) formats.clear();
  formats.set(zone, made);
  return made;
}

/** Of the Gregorian calendar; months from 1. Years are counted from March, so that the leap day is the last one. */
function daysSince1970(year: number, month: number, day: number): number {
  const y = month > 2 ? year : year - 1;
  const monthFromMarch = (month + 9) % 12;
  const dayOfYear = Math.floor((153 * monthFromMarch + 2) / 5) + day - 1;
  return 365 * y + Math.floor(y / 4) - Math.floor(y / 100) + Math.floor(y / 400) + dayOfYear - 719_468;
}
