/** Work that nobody waits for leaves as much time as it takes to what somebody waits for. */
import { setTimeout as sleep } from 'node:timers/promises';

/** However slow a store was: what is left waits no longer than that. */
const LONGEST_REST_MS = 1_000;

/** Resolves after as long as it took since `startedAt` (of `performance.now`), or when the signal aborts. */
export async function restAsLong(startedAt: number, signal?: AbortSignal): Promise<void> {
  const tookMs = performance.now() - startedAt;
  await sleep(Math.min(tookMs, LONGEST_REST_MS), undefined, { signal }).catch(() => undefined);
}
