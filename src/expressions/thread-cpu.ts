/**
 * A thread that yields to all others, and how long it was on a processor, which on a busy machine is less than what a clock
 * shows. Linux gives each thread a priority and an account of its own; elsewhere a thread is as any other, and the clock counts.
 */
import { readFileSync, readlinkSync } from 'node:fs';
import { setPriority } from 'node:os';

/** A tenth of the processor while the loops of the process are busy; all of it while they are idle. */
const NICE = 10;

/** Called by the thread itself. Its number for the system; undefined where the priority would be that of the whole process. */
export function yieldToOthers(): number | undefined {
  const id = ownThread();
  if (id !== undefined) setPriority(0, NICE);
  return id;
}

/** How long a thread of this process has run since it started, in milliseconds; undefined where the system does not count. */
export function onProcessorMs(id: number | undefined): number | undefined {
  if (id === undefined) return undefined;
  try {
    return Number.parseInt(readFileSync(`/proc/self/task/${id}/schedstat`, 'utf8'), 10) / 1e6;
  } catch {
    return undefined;
  }
}

function ownThread(): number | undefined {
  try {
    const id = Number(readlinkSync('/proc/thread-self').split('/').at(-1));
    return process.platform === 'linux' && onProcessorMs(id) !== undefined ? id : undefined;
  } catch {
    return undefined;
  }
}
