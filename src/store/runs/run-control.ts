/**
 * Which runs are being cancelled: by notification at once, and by a query every second for whatever was missed. And which
 * tasks were completed manually: by notification alone, as their executions only go on for nothing.
 */
import type pg from 'pg';
import { readItemId } from '../../domain/runs/parts.ts';
import type { Control } from '../../engine/ports/executor.ts';

const POLL_MS = 1_000;

export interface RunControl extends Control {
  /** For the channel `run_control`. */
  notice(runId: string): void;
  /** For the channel `task_control`: a run and an action as a list in JSON. */
  taskNotice(payload: string): void;
  readAgain(): void;
  close(): void;
}

interface Watcher {
  stop(): void;
  task: { actionId: string; abandon(): void } | undefined;
}

export function createRunControl(pool: pg.Pool): RunControl {
  const watchers = new Map<string, Set<Watcher>>();
  let reading = false;

  const stop = (runId: string) => {
    const found = watchers.get(runId);
    watchers.delete(runId);
    for (const watcher of found ?? []) watcher.stop();
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
    watch(runId, stopWork, task) {
      const watcher = { stop: stopWork, task };
      const ofRun = watchers.get(runId) ?? new Set();
      watchers.set(runId, ofRun);
      ofRun.add(watcher);
      return () => {
        ofRun.delete(watcher);
        if (ofRun.size === 0 && watchers.get(runId) === ofRun) watchers.delete(runId);
      };
    },
    notice: stop,
    taskNotice(payload) {
      const [runId, actionId]: [string, string] = JSON.parse(payload); // What the statement sends.
      for (const { task } of watchers.get(runId) ?? []) {
        // With a task its parts end too.
        const ended = task?.actionId === actionId || readItemId(task?.actionId ?? '')?.actionId === actionId;
        if (ended) task?.abandon();
      }
    },
    readAgain: () => void read(),
    close: () => clearInterval(timer),
  };
}
