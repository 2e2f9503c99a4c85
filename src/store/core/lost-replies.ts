/**
 * Runs whose acceptance was sent and not answered. The statement may have been committed: sent again it would find its own
 * rows, and a client without an idempotency key would start its run twice. So the rows are read by their ids, which
 * were made before they were sent, and only what is not there is sent again.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import type pg from 'pg';
import type { RunStatus } from '../../domain/runs/run-states.ts';
import type { NewRun, StoredRun } from '../../engine/ports/runs.ts';
import { mayBeCommitted } from './transient.ts';

/** As long as a server takes that restarts after a crash, for who has been waiting anyway. */
const PROBE_DELAYS_MS = [50, 100, 200, 400, 800, 1_600, 2_000];

const MOST_TRIES = 3;

const FIND = `SELECT id, status, created_at FROM run WHERE id = ANY($1::text[])`;

export function survivingLostReplies<R extends NewRun>(
  pool: Pick<pg.Pool, 'query'>,
  accept: (runs: R[]) => Promise<StoredRun[]>,
): (runs: R[]) => Promise<StoredRun[]> {
  async function find(runs: readonly R[]): Promise<Map<string, StoredRun>> {
    const { rows } = await pool.query<{ id: string; status: RunStatus; created_at: Date }>({
      name: 'runs-sent-before',
      text: FIND,
      values: [runs.map(({ id }) => id)],
    });
    const sent = new Map(runs.map((run) => [run.id, run]));
    return new Map(
      rows.flatMap(({ id, status, created_at: createdAt }) => {
        const run = sent.get(id);
        if (run === undefined) return [];
        const { of, requestHash = null } = run;
        // Somebody else may have added it to the queue by now: it is left to them.
        const stored: StoredRun = { id, status, createdAt, requestHash, of, inserted: true, waits: true };
        return [[id, stored]];
      }),
    );
  }

  /** Returns when the database answers again; `lost` is all that can be said when it does not. */
  async function untilItAnswers(runs: readonly R[], lost: unknown): Promise<void> {
    for (const delayMs of PROBE_DELAYS_MS) {
      await sleep(delayMs);
      const answers = await find(runs).then(
        () => true,
        () => false,
      );
      if (answers) return;
    }
    throw lost;
  }

  const doubtful = new WeakSet<R>();

  return async function send(runs: R[], tries = 1): Promise<StoredRun[]> {
    const sentBefore = runs.filter((run) => doubtful.has(run));
    const stored = sentBefore.length === 0 ? new Map<string, StoredRun>() : await find(sentBefore);
    const open = runs.filter(({ id }) => !stored.has(id));
    try {
      const accepted = open.length === 0 ? [] : await accept(open);
      for (const [index, row] of accepted.entries()) stored.set(open[index]?.id ?? '', row);
    } catch (error) {
      if (!mayBeCommitted(error) || tries === MOST_TRIES) throw error;
      for (const run of open) doubtful.add(run);
      await untilItAnswers(open, error);
      return send(runs, tries + 1);
    }
    return runs.map(({ id }) => {
      const row = stored.get(id);
      if (row === undefined) throw new Error(`it is not known what became of the run ${id}`);
      return row;
    });
  };
}
