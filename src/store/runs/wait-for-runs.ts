/** Waiting for the end of runs: one listener and one query for all that wait in this process. */
import type pg from 'pg';
import type { WaitForRuns } from '../../engine/ports/use-cases.ts';

const POLL_MS = 500;

export interface RunWaiter extends WaitForRuns {
  /** For the channel `run_final`: one id, or several with commas between them. */
  notice(runIds: string): void;
  readAgain(): void;
  close(): void;
}

export function createRunWaiter(pool: pg.Pool): RunWaiter {
  const waiting = new Map<string, Set<(final: boolean) => void>>();
  let reading = false;
  let readOnceMore = false;

  const finish = (runId: string) => {
    const found = waiting.get(runId);
    waiting.delete(runId);
    for (const resolve of found ?? []) resolve(true);
  };

  async function read(): Promise<void> {
    if (reading) {
      // The reading under way may be older than what made this one necessary.
      readOnceMore = true;
      return;
    }
    if (waiting.size === 0) return;
    reading = true;
    readOnceMore = false;
    try {
      const { rows } = await pool.query<{ id: string }>({
        name: 'runs-that-ended',
        text: 'SELECT id FROM run WHERE id = ANY($1::text[]) AND final',
        values: [[...waiting.keys()]],
      });
      for (const { id } of rows) finish(id);
    } catch {
      // The database is away; those who wait learn it when they read the result.
    } finally {
      reading = false;
      if (readOnceMore) setImmediate(() => void read());
    }
  }
  const timer = setInterval(() => void read(), POLL_MS);
  timer.unref();

  return {
    async waitUntilFinal(runId, milliseconds, signal) {
      if (signal.aborted) return false;
      let settle: (final: boolean) => void = () => undefined;
      const answer = new Promise<boolean>((resolve) => {
        settle = resolve;
      });
      const ofRun = waiting.get(runId) ?? new Set();
      waiting.set(runId, ofRun);
      ofRun.add(settle);
      const giveUp = () => settle(false);
      const late = setTimeout(giveUp, milliseconds);
      signal.addEventListener('abort', giveUp, { once: true });
      // It may have ended before anybody listened for it.
      void read();
      try {
        return await answer;
      } finally {
        clearTimeout(late);
        signal.removeEventListener('abort', giveUp);
        ofRun.delete(settle);
        if (ofRun.size === 0 && waiting.get(runId) === ofRun) waiting.delete(runId);
      }
    },
    notice(runIds) {
      if (waiting.size > 0) for (const runId of runIds.split(',')) finish(runId);
    },
    readAgain: () => void read(),
    close() {
      clearInterval(timer);
      for (const resolvers of waiting.values()) for (const resolve of resolvers) resolve(false);
    },
  };
}
