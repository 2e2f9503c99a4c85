import { setTimeout as sleep } from 'node:timers/promises';

/** A scrape does not wait any longer for the database. */
const TIMEOUT_MS = 1_000;

/** Undefined when it has not come in time; it goes on, and a later call finds it. */
export function inTime<T>(promise: Promise<T>, timeoutMs = TIMEOUT_MS): Promise<T | undefined> {
  return Promise.race([promise, sleep(timeoutMs, undefined, { ref: false })]);
}
