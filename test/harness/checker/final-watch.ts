/** Remembers every final state that was ever seen, and tells when one of them has become another: I2. */
import type pg from 'pg';
import { createFindings } from './calls.ts';
import type { Violation } from './rules.ts';

const FINAL_STATES = `
SELECT run_id, epoch, action_id, status, md5(coalesce(output::text, '')) AS output, md5(coalesce(error::text, '')) AS error, attempt
FROM task WHERE final
UNION ALL
SELECT id, epoch, NULL, status, md5(coalesce(output::text, '')), md5(coalesce(error::text, '')), 0 FROM run WHERE final`;

interface FinalState {
  run_id: string;
  epoch: number;
  action_id: string | null;
  status: string;
  output: string;
  error: string;
  attempt: number;
}

export interface FinalWatch {
  look(): Promise<void>;
  violations(): Violation[];
}

export function createFinalWatch(db: pg.Pool): FinalWatch {
  const seen = new Map<string, FinalState>();
  const found = createFindings();
  return {
    async look() {
      const { rows } = await db.query<FinalState>(FINAL_STATES);
      const now = new Map(rows.map((row) => [`${row.run_id}.${row.epoch}.${row.action_id}`, row]));
      for (const [key, state] of now) {
        const before = seen.get(key);
        if (before !== undefined && JSON.stringify(before) !== JSON.stringify(state)) {
          found.add('I2', 'what has ended stays as it ended', { before, after: state });
        }
        seen.set(key, state);
      }
      const gone = [...seen].filter(([key]) => !now.has(key));
      if (gone.length === 0) return;
      const ids = gone.map(([, { run_id }]) => run_id);
      const runs = await db.query<{ id: string; epoch: number }>('SELECT id, epoch FROM run WHERE id = ANY($1)', [ids]);
      const epochs = new Map(runs.rows.map(({ id, epoch }) => [id, epoch]));
      for (const [key, before] of gone) {
        // A retry by hand reopens what did not complete, under a new epoch.
        const reopened = (epochs.get(before.run_id) ?? 0) > before.epoch;
        if (!reopened) found.add('I2', 'what has ended stays as it ended', { before, after: null });
        seen.delete(key);
      }
    },
    violations: () => found.all(),
  };
}
