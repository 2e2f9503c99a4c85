/**
 * The outside of many runs at once: does in each what its plot says, when it is time for it. What is open is read from the
 * tables, for all runs in one query; all that is done goes through the public door.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import type pg from 'pg';
import { COMMENT, evaluate, SOMEBODY, stepOf } from './evaluate.ts';
import type { Expected, Plot, Step } from './forms.ts';
import { type Post, workElsewhere } from './work-elsewhere.ts';

export interface Outside {
  /** From now on that run has an outside. A run that has ended and is retried by hand still has it. */
  attend(runId: string, plot: Plot): Promise<void>;
  leave(runId: string): void;
  /** The runs that a run has begun, in the order of attempts. */
  childrenOf(runId: string): Promise<Array<{ id: string; action_id: string }>>;
  /** Rejects when the outside could not do what it had to. */
  failed: Promise<never>;
  close(): Promise<void>;
}

export interface OutsideOptions {
  db: pg.Pool;
  post: Post;
  /** Stores may be away for a while: what cannot be read or done now is tried again. */
  patient: boolean;
}

interface Attended {
  plot: Plot;
  expected: Expected;
  wasPaused: boolean;
  /** The run that began it, or began the one that did. */
  root: string;
}
interface OpenRun {
  id: string;
  status: string;
  parent_run_id: string | null;
  parent_action_id: string | null;
  /** Tasks that have ended. */
  ended: number;
  /** Actions that wait for something. */
  waiting: string[];
}

const LOOK_EVERY_MS = 40;

const OPEN_RUNS = `
SELECT r.id, r.status, r.parent_run_id, r.parent_action_id,
       (SELECT count(*)::int FROM task t WHERE t.run_id = r.id AND t.final AND t.parent_id IS NULL) AS ended,
       ARRAY(SELECT t.action_id FROM task t WHERE t.run_id = r.id AND t.status = 'waiting' AND NOT t.final AND t.parent_id IS NULL) AS waiting
FROM run r WHERE (r.id = ANY($1) OR r.parent_run_id = ANY($1)) AND NOT r.final`;

export function openOutside({ db, post, patient }: OutsideOptions): Outside {
  const attended = new Map<string, Attended>();
  let closed = false;
  let hasWorkers = false;

  /** `tooLate`: it may be refused because the run has ended, or has gone on. */
  async function send(path: string, body: object, { tooLate = false, by = 'anonymous' } = {}): Promise<void> {
    const answer = await post(path, body, { 'x-user-id': by });
    const isFitting = answer !== undefined && (answer.status < 300 || (tooLate && answer.status === 409));
    if (!isFitting && !patient) throw new Error(`POST ${path}: ${answer?.status} ${JSON.stringify(answer?.body)}`);
  }

  async function look(): Promise<void> {
    if (attended.size === 0) return;
    const { rows } = await db.query<OpenRun>(OPEN_RUNS, [[...attended.keys()]]);
    await Promise.all(rows.map((run) => moveOn(run, rows)));
    if (hasWorkers) await workElsewhere(post);
  }
  async function moveOn(run: OpenRun, open: readonly OpenRun[]): Promise<void> {
    const one = attended.get(run.id);
    if (one === undefined) return attendChild(run);
    if (run.status === 'cancelling' || run.status === 'compensating') return;
    if (one.plot.paused && (await pauseOrResume(run, one))) return;
    // What was put off by a pause waits too, and may never begin.
    for (const actionId of run.waiting.filter((id) => one.expected.begun.has(id))) {
      await answer(run, stepOf(one.plot, actionId));
    }
    if (one.root === run.id && isAtRest(run, open)) await breakOff(run, one.expected);
  }
  async function attendChild({ id, parent_run_id: parentId, parent_action_id: actionId }: OpenRun): Promise<void> {
    const parent = attended.get(parentId ?? '');
    if (parent === undefined || actionId === null) return;
    const { work } = stepOf(parent.plot, actionId);
    if (work.kind === 'child') await attend(id, work.plot, parent.root);
  }
  async function attend(id: string, plot: Plot, root: string): Promise<void> {
    attended.set(id, { plot, expected: evaluate(plot), wasPaused: false, root });
    hasWorkers ||= plot.steps.some(({ work }) => work.kind === 'external');
    await begin(id, plot);
  }
  /** With everything that it began: nothing moves any more. */
  function isAtRest({ id }: OpenRun, open: readonly OpenRun[]): boolean {
    const family = open.filter((run) => attended.get(run.id)?.root === id);
    const own = attended.get(id)?.expected;
    return (
      family.length === 1 + (own?.openChildren ?? 0) &&
      family.every((run) => run.ended >= (attended.get(run.id)?.expected.endByThemselves ?? 0))
    );
  }
  /** True when there is nothing else to do now. */
  async function pauseOrResume({ id, status, ended }: OpenRun, one: Attended): Promise<boolean> {
    if (status === 'paused') {
      // What was running may have been the last of it.
      await send(`/workflows/executions/${id}/resume`, { reason: 'the plot' }, { tooLate: true });
      return true;
    }
    if (one.wasPaused || ended < one.expected.endByThemselves / 2) return false;
    one.wasPaused = true;
    await send(`/workflows/executions/${id}/pause`, { reason: 'the plot' }, { tooLate: true });
    return true;
  }
  async function answer({ id }: OpenRun, { id: actionId, work }: Step): Promise<void> {
    const run = `/workflows/executions/${id}`;
    if (work.kind === 'by_hand') {
      if (work.as === 'skipped') await send(`${run}/skip`, { action_id: actionId });
      else await send(`${run}/complete`, { action_id: actionId, output: { n: work.n } });
    }
    if (work.kind === 'signal' && work.comes !== 'never') {
      // The early one may be on its way.
      await send(`${run}/signals/${actionId}`, { payload: { n: work.n } }, { tooLate: true });
    }
    if (work.kind === 'approval' && work.decided !== 'by_nobody') {
      // Decided already, it is shown as waiting until it has been woken.
      const verb = work.decided === 'approved' ? 'approve' : 'reject';
      await send(`${run}/${verb}`, { action_id: actionId, comment: COMMENT }, { by: SOMEBODY, tooLate: true });
    }
  }
  /** What comes before anybody waits for it. */
  async function begin(id: string, plot: Plot): Promise<void> {
    const early = plot.steps.filter(({ work }) => work.kind === 'signal' && work.comes === 'early');
    for (const { id: actionId, work } of early) {
      const payload = { n: work.kind === 'signal' ? work.n : 0 };
      // Refused where it is known already that nobody will wait for it.
      await send(`/workflows/executions/${id}/signals/${actionId}`, { payload }, { tooLate: true });
    }
  }
  async function breakOff({ id }: OpenRun, { brokenOff }: Expected): Promise<void> {
    if (brokenOff === undefined) return;
    if (brokenOff === 'cancellation') return send(`/workflows/executions/${id}/cancel`, { reason: 'the plot' });
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
    attend: (runId, plot) => attend(runId, plot, runId),
    leave(runId) {
      for (const [id, { root }] of attended) if (root === runId) attended.delete(id);
    },
    async childrenOf(runId) {
      const { rows } = await db.query<{ id: string; action_id: string }>(
        'SELECT id, parent_action_id AS action_id FROM run WHERE parent_run_id = $1 ORDER BY parent_epoch, parent_attempt',
        [runId],
      );
      return rows;
    },
    failed,
    async close() {
      closed = true;
      await looking;
    },
  };
}
