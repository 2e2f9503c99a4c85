/** The watchdog thread. It counts by its own ticks: a process that was stopped and goes on has not been blocked. */
import { writeSync } from 'node:fs';
import { workerData } from 'node:worker_threads';

export interface WatchdogData {
  /** Counts up while the event loop moves. */
  shown: Int32Array;
  parentPid: number | undefined;
  blockedMs: number | undefined;
}

const CHECK_EVERY_MS = 1_000;

const { shown, parentPid, blockedMs } = workerData as WatchdogData; // Set by watchdog.ts, the only one to start this thread.
let last = -1;
let unchanged = 0;

setInterval(() => {
  if (parentPid !== undefined && process.ppid !== parentPid) end();
  const now = Atomics.load(shown, 0);
  unchanged = now === last ? unchanged + 1 : 0;
  last = now;
  if (blockedMs === undefined || unchanged * CHECK_EVERY_MS < blockedMs) return;
  // The log belongs to the loop that stands still.
  const line = {
    timestamp: new Date().toISOString(),
    level: 'error',
    event: 'process.blocked',
    service: 'orchestrator',
    detail: `the event loop has not moved for ${unchanged * (CHECK_EVERY_MS / 1000)} s: this process ends itself`,
  };
  try {
    writeSync(2, `${JSON.stringify(line)}\n`);
  } finally {
    // Also when nobody reads what it says: a pipe whose reader has gone or is full throws.
    end();
  }
}, CHECK_EVERY_MS);

function end(): void {
  process.kill(process.pid, 'SIGKILL');
}
