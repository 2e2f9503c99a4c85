/** Which runs are being cancelled: by notification at once, and by a query every second for whatever was missed. */
import type pg from 'pg';
import type { Control } from '../engine/ports.ts';

const POLL_MS = 1_000;

export interface RunControl extends Control {
  /** For the channel `run_control`. */
  notice(runId: string): void;
  readAgain(): void;
  close(): void;
}

export function createRunControl(pool: pg.Pool): RunControl {
  const watchers = new Map<string, Set<() => void>>();
  let reading = false;

  const stop = (runId: string) => {
    const found = watchers.get(runId);
    watchers.delete(runId);
    for (const watcher of found ?? []) watcher();
  };

  async function read(): Promise<void> {
    if (reading || watchers.size === 0) return;
    reading = true;
    try {
      const { rows } = await pool.query<{ id: string }>({
        name: 'runs-to-stop',
        text: `SELECT id FROM run WHERE id = ANY($1::text[]) AND (status = 'cancelling' OR final)`,
        values: [[...watchers.keys()]],
      });
      for (const { id } of rows) stop(id);
    } catch {
      // The database is away; the next reading tells.
    } finally {
      reading = false;
    }
  }
  const timer = setInterval(() => void read(), POLL_MS);
  timer.unref();

  return {
    watch(runId, watcher) {
      const ofRun = watchers.get(runId) ?? new Set();
      watchers.set(runId, ofRun);
      ofRun.add(watcher);
      return () => {
        ofRun.delete(watcher);
        if (ofRun.size === 0 && watchers.get(runId) === ofRun) watchers.delete(runId);
      };
    },
    notice: stop,
    readAgain: () => void read(),
    close: () => clearInterval(timer),
  };
}
