/**
 * Plays many plots at once on a running service: begins the runs, does in each what its plot says of the outside, and tells
 * what has become of it in the words of `evaluate`. What is open is read from the tables, for all runs in one query; all
 * that is done goes through the public door.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import type pg from 'pg';
import { accepted, type Client } from '../client.ts';
import { comparable, definitionOf } from './definition.ts';
import { evaluate } from './evaluate.ts';
import type { Expected, Plot } from './forms.ts';

export interface Outside {
  /** Resolves to what the run was when it had ended; rejects when it does not end. */
  play(plot: Plot): Promise<Found>;
  close(): Promise<void>;
}
/** As `Expected`, but of what there really was. */
export interface Found {
  runId: string;
  status: string;
  output: unknown;
  tasks: Record<string, { status: string; output: unknown; attempts: number }>;
}

const LOOK_EVERY_MS = 40;
const PATIENCE_MS = 40_000;

interface Play {
  plot: Plot;
  expected: Expected;
  cancelled: boolean;
}

export function openOutside({ api, db, serviceUrl }: { api: Client; db: pg.Pool; serviceUrl: string }): Outside {
  const plays = new Map<string, Play>();
  let closed = false;

  /** What nobody but the outside can move on is moved on. */
  async function look(): Promise<void> {
    const waiting = [...plays].filter(([, { expected, cancelled }]) => expected.status === 'cancelled' && !cancelled);
    if (waiting.length === 0) return;
    const { rows } = await db.query<{ run_id: string; ended: number }>(
      'SELECT run_id, count(*)::int AS ended FROM task WHERE final AND run_id = ANY($1) GROUP BY 1',
      [waiting.map(([id]) => id)],
    );
    const endedOf = new Map(rows.map(({ run_id, ended }) => [run_id, ended]));
    await Promise.all(
      waiting.map(async ([id, play]) => {
        if ((endedOf.get(id) ?? 0) < play.expected.endByThemselves) return;
        play.cancelled = true;
        accepted(await api.post(`/workflows/executions/${id}/cancel`, { reason: 'the end of the plot' }), 202);
      }),
    );
  }
  const looking = (async () => {
    while (!closed) {
      await look();
      await sleep(LOOK_EVERY_MS);
    }
  })();
  // It is awaited at the end, and by every play.
  looking.catch(() => undefined);

  return {
    async play(plot) {
      const workflowId = await api.createWorkflow(definitionOf(plot, { serviceUrl }));
      const runId = await api.execute(workflowId);
      plays.set(runId, { plot, expected: evaluate(plot), cancelled: false });
      const patience = new AbortController();
      try {
        const tooLate = sleep(PATIENCE_MS, undefined, { signal: patience.signal }).then(() => {
          throw new Error(`${runId} has not ended after ${PATIENCE_MS} ms`);
        });
        await Promise.race([api.ended(runId), tooLate, looking]);
      } finally {
        patience.abort();
        plays.delete(runId);
      }
      const { status, output, tasks } = await api.execution(runId);
      const steps = new Map(plot.steps.map((step) => [step.id, step]));
      const found = tasks.map((task) => {
        const step = steps.get(task.action_id);
        const seen = step === undefined ? task.output : comparable(step, task.output);
        return [task.action_id, { status: task.status, output: seen, attempts: task.attempts_history.length }] as const;
      });
      return { runId, status, output: comparableOutput(plot, output), tasks: Object.fromEntries(found) };
    },
    async close() {
      closed = true;
      await looking;
    },
  };
}

function comparableOutput(plot: Plot, output: unknown): unknown {
  if (output === null || plot.output !== 'of_the_last') return output;
  const steps = new Map(plot.steps.map((step) => [step.id, step]));
  const parts = Object.entries(output as Record<string, unknown>); // By the ids of the last actions.
  return Object.fromEntries(
    parts.map(([id, part]) => {
      const step = steps.get(id);
      return [id, step === undefined ? part : comparable(step, part)];
    }),
  );
}
