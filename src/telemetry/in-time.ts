import { setTimeout as sleep } from 'node:timers/promises';

/** Who reads metrics does not wait any longer for the database. */
const PATIENCE_MS = 1_000;

/** Undefined when it has not come in time; it goes on, and whoever asks then finds it. */
export function inTime<T>(asked: Promise<T>, patienceMs = PATIENCE_MS): Promise<T | undefined> {
  return Promise.race([asked, sleep(patienceMs, undefined, { ref: false })]);
}
