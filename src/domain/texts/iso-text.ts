/** A point in time as answers and messages have it: ISO-8601 in UTC, with milliseconds. */

/** What a `Date` is to those who only write it down; the domain has no `Date`. */
export interface Instant {
  toISOString(): string;
}

export function isoText(at: Instant): string;
export function isoText(at: Instant | null): string | null;
export function isoText(at: Instant | null): string | null {
  return at === null ? null : at.toISOString();
}
