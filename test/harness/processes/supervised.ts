/** A process that is started again whenever it ends, as a supervisor does it. */
import { setTimeout as sleep } from 'node:timers/promises';
import { type Child, endOrKill, type ProcessOptions, startProcess } from './process.ts';

export interface Supervised {
  /** The one that runs now; waits while it is being started. */
  child(): Promise<Child>;
  /** The one after it; waits while it is being started. */
  next(before: Child): Promise<Child>;
  /** Ends it for good. What does not end by itself is killed, and said. */
  stop(): Promise<'ended' | 'killed'>;
}

const START_AGAIN_MS = 200;
const END_MS = 15_000;

export function supervise(options: ProcessOptions): Supervised {
  let stopping = false;
  let stopped: Promise<'ended' | 'killed'> | undefined;
  let current = start();

  function start(): Promise<Child> {
    const started = begin();
    started.then(
      (child) =>
        child.ended.then(() => {
          if (!stopping) current = start();
        }),
      () => undefined,
    );
    return started;
  }
  async function begin(): Promise<Child> {
    for (;;) {
      try {
        return await startProcess(options);
      } catch (error) {
        // Its store may be away: it ends at once, and is tried again.
        if (stopping) throw error;
        await sleep(START_AGAIN_MS);
      }
    }
  }
  async function stop(): Promise<'ended' | 'killed'> {
    const child = await current.catch(() => undefined);
    return child === undefined ? 'ended' : endOrKill(child, END_MS);
  }

  return {
    child: () => current,
    async next(before) {
      for (;;) {
        const child = await current;
        if (child !== before) return child;
        await before.ended;
        await sleep(0);
      }
    },
    stop() {
      stopping = true;
      stopped ??= stop();
      return stopped;
    },
  };
}
