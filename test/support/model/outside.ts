/**
 * The outside of many runs at once: does in each what its plot says, when it is time for it. What is open is read from the
 * tables, for all runs in one query; all that is done goes through the public door.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import type pg from 'pg';
import { evaluate } from './evaluate.ts';
import type { Expected, Plot } from './forms.ts';

export interface Outside {
  /** From now on that run has an outside. A run that has ended and is retried by hand still has it. */
  attend(runId: string, plot: Plot): void;
  leave(runId: string): void;
  /** Rejects when the outside could not do what it had to. */
  failed: Promise<never>;
  close(): Promise<void>;
}

export interface OutsideOptions {
  db: pg.Pool;
  /** A request that has to be heard; where it is refused because it came too late, that is no fault. */
  post(path: string, body: object): Promise<void>;
  /** Stores may be away for a while: what cannot be read or done now is tried again. */
  patient: boolean;
}

interface Attended {
  plot: Plot;
  expected: Expected;
}
interface OpenRun {
  id: string;
  status: string;
  /** Tasks that have ended. */
  ended: number;
}

const LOOK_EVERY_MS = 40;

const OPEN_RUNS = `
SELECT r.id, r.status, (SELECT count(*)::int FROM task t WHERE t.run_id = r.id AND t.final) AS ended
FROM run r WHERE r.id = ANY($1) AND NOT r.final`;

export function openOutside({ db, post, patient }: OutsideOptions): Outside {
  const attended = new Map<string, Attended>();
  let closed = false;

  async function look(): Promise<void> {
    if (attended.size === 0) return;
    const { rows } = await db.query<OpenRun>(OPEN_RUNS, [[...attended.keys()]]);
    await Promise.all(rows.map(moveOn));
  }
  async function moveOn({ id, status, ended }: OpenRun): Promise<void> {
    const one = attended.get(id);
    if (one === undefined || status === 'cancelling') return;
    const { expected } = one;
    const isStuck = expected.status === 'cancelled' || expected.status === 'timed_out';
    if (!isStuck || ended < expected.endByThemselves) return;
    if (expected.status === 'cancelled') return post(`/workflows/executions/${id}/cancel`, { reason: 'the plot' });
    // Its deadline is an hour away: for this run alone the time has come.
    await db.query('UPDATE run SET deadline_at = now() WHERE id = $1 AND NOT final AND deadline_at > now()', [id]);
  }
  const looking = (async () => {
    while (!closed) {
      await look().catch((error: unknown) => {
        if (!patient) throw error;
      });
      await sleep(LOOK_EVERY_MS);
    }
  })();
  // Whoever waits for something beside it hears of it too.
  const failed = looking.then(() => new Promise<never>(() => undefined));
  failed.catch(() => undefined);

  return {
    attend: (runId, plot) => void attended.set(runId, { plot, expected: evaluate(plot) }),
    leave: (runId) => void attended.delete(runId),
    failed,
    async close() {
      closed = true;
      await looking;
    },
  };
}
