import { setTimeout as sleep } from 'node:timers/promises';

const FIRST_MS = 25;
/** Whoever asks for long asks less often: what is waited for needs the machine, too. */
const MOST_MS = 200;

/** Waits for a condition; resolves to its first value that is neither false, null nor undefined. What it throws counts as no. */
export async function until<T>(
  condition: () => T | Promise<T>,
  options: { what?: string; timeoutMs?: number; everyMs?: number } = {},
): Promise<Exclude<T, false | null | undefined>> {
  const { what = 'the condition', timeoutMs = 120_000, everyMs } = options;
  const deadline = performance.now() + timeoutMs;
  let last: unknown;
  let pauseMs = everyMs ?? FIRST_MS;
  for (;;) {
    try {
      const value = await condition();
      if (value !== false && value !== null && value !== undefined)
        return value as Exclude<T, false | null | undefined>;
      last = undefined;
    } catch (error) {
      last = error;
    }
    if (performance.now() > deadline) throw new Error(`Waited ${timeoutMs} ms in vain until ${what}`, { cause: last });
    await sleep(pauseMs);
    if (everyMs === undefined) pauseMs = Math.min(MOST_MS, pauseMs * 1.2);
  }
}
