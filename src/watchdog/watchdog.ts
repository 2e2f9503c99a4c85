/**
 * A thread that ends its process when the event loop does not move any more, or when the parent is gone: neither can be
 * noticed, let alone acted upon, from the loop itself.
 */
import { Worker } from 'node:worker_threads';
import { programFile } from '../program-file.ts';
import type { WatchdogData } from './watchdog-thread.ts';

export interface WatchdogOptions {
  /** The process ends when this is no longer its parent. */
  parentPid?: number;
  /** The process ends when its event loop stands still for that long. */
  blockedMs?: number;
}

/** So often the loop shows that it moves. */
const SHOW_EVERY_MS = 500;

/** Returns how to stop it. */
export function startWatchdog({ parentPid, blockedMs }: WatchdogOptions): () => Promise<void> {
  const shown = new Int32Array(new SharedArrayBuffer(Int32Array.BYTES_PER_ELEMENT));
  const thread = new Worker(programFile('src/watchdog/watchdog-thread.js'), {
    workerData: { shown, parentPid, blockedMs } satisfies WatchdogData,
    resourceLimits: { maxOldGenerationSizeMb: 8, maxYoungGenerationSizeMb: 2 },
    env: {},
    execArgv: [],
  });
  thread.unref();
  // Without it things are as they were before: no reason to end the process.
  thread.on('error', () => undefined);
  const show = setInterval(() => Atomics.add(shown, 0, 1), SHOW_EVERY_MS);
  show.unref();
  return async () => {
    clearInterval(show);
    await thread.terminate();
  };
}
