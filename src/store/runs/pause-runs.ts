/**
 * Pauses and resumes runs and, in the same transaction, those below that go with them: the status, and the event that says
 * who it was. Always the run above before those below it, and these by their ids, so no two of them wait for each other. A
 * run that is started below holds the lock of the one above it (see `child-runs.ts`).
 */
import type pg from 'pg';
import { goesOnWithParent, type Pausable, pausedAbove, pauseOf, resumeOf } from '../../domain/runs/pause-reach.ts';
import type { RunStatus } from '../../domain/runs/run-states.ts';
import type { PauseStore, Resumed, RunsOfCaller } from '../../engine/control/pause-run.ts';
import { inTransaction } from '../core/in-transaction.ts';

const STATE = `r.id, r.status, r.final, coalesce(r.paused_with_parent, false) AS "withParent"`;

const RUN = `SELECT ${STATE} FROM run r WHERE r.id = $2 AND r.tenant_id = $1 FOR UPDATE`;

// Of those below others the one above would have to be locked before them: they are not taken together.
const ROOTS = `
SELECT ${STATE} FROM run r WHERE r.tenant_id = $1 AND r.id = ANY ($2::text[]) AND r.awaited IS NOT TRUE ORDER BY r.id FOR UPDATE`;

const ABOVE = `
SELECT p.id, p.status FROM run c JOIN run p ON p.id = c.parent_run_id
WHERE c.id = $2 AND c.tenant_id = $1 AND c.awaited FOR SHARE OF p`;

const BELOW = `SELECT ${STATE} FROM run r WHERE r.parent_run_id = ANY($1::text[]) AND r.awaited AND NOT r.final ORDER BY r.id FOR UPDATE`;

const SAY = (kind: string) => `
INSERT INTO event (run_id, epoch, kind, data)
SELECT id, epoch, '${kind}', jsonb_strip_nulls(jsonb_build_object('by', $2::text, 'reason', $3::text,
  'with', CASE WHEN paused_with_parent THEN parent_run_id END))
FROM u`;

const PAUSE = `
WITH u AS (
  UPDATE run SET status = 'paused', paused_with_parent = $4::bool WHERE id = ANY($1::text[])
  RETURNING id, epoch, parent_run_id, paused_with_parent
)${SAY('run.paused')}`;

// A run that has not started may never have been in the queue: it goes back to the dispatcher, which adds it again. Nothing
// looks at a paused run, so whatever the queue has lost of it meanwhile is looked for now.
const GO_ON = `
WITH u AS (
  UPDATE run r SET check_at = now(), paused_with_parent = NULL, status = CASE
      WHEN r.waits_for_slot IS NULL AND EXISTS (SELECT 1 FROM task t WHERE t.run_id = r.id AND t.epoch = r.epoch AND t.status <> 'pending') THEN 'running'
      ELSE 'pending' END,
    started_at = coalesce(r.started_at, (SELECT min(t.started_at) FROM task t WHERE t.run_id = r.id))
  WHERE r.id = ANY($1::text[]) RETURNING r.id, r.epoch, r.status, r.parent_run_id, r.paused_with_parent
), e AS (${SAY('run.resumed')})
SELECT id, status FROM u`;

interface Found extends Pausable {
  id: string;
  status: RunStatus;
}

/** Who did it and why, as the events say it. */
type Attribution = [by: string, reason: string | null];

export function createPauseStore(pool: pg.Pool): PauseStore {
  return {
    pause: ({ runId, tenantId, by }, reason) =>
      inTransaction(pool, async (client) => {
        const run = (await client.query<Found>(RUN, [tenantId, runId])).rows[0];
        if (run === undefined) return undefined;
        const was = run.status;
        const pause = pauseOf(run);
        if (pause === 'reject') return { was, changed: false };
        const attribution: Attribution = [by, reason ?? null];
        await client.query(PAUSE, [[runId], ...attribution, null]);
        // What is below one that was paused already is paused too.
        if (pause === 'pause') await pauseBelow(client, [runId], attribution);
        return { was, changed: true };
      }),
    resume: ({ runId, tenantId, by }, reason) =>
      inTransaction(pool, async (client): Promise<Resumed | undefined> => {
        const above = (await client.query<Found>(ABOVE, [tenantId, runId])).rows[0];
        const run = (await client.query<Found>(RUN, [tenantId, runId])).rows[0];
        if (run === undefined) return undefined;
        const was = run.status;
        const attribution: Attribution = [by, reason ?? null];
        const resume = resumeOf(run, above?.status === 'paused');
        if (resume === 'go_on') return { was, changed: true, ...(await goOn(client, [runId], attribution)) };
        if (resume === 'with_parent') {
          await client.query(PAUSE, [[runId], ...attribution, true]);
          return { was, changed: true, status: 'paused', goOn: [] };
        }
        const refused = { was, changed: false, status: was, goOn: [] };
        return resume === 'parent_first' && above !== undefined ? { ...refused, pausedWith: above.id } : refused;
      }),
    pauseAll: (runs, reason) =>
      inTransaction(pool, async (client) => {
        const { attribution, roots, left } = await rootsOf(client, runs, reason);
        const changed = roots.filter((run) => pauseOf(run) === 'pause').map(({ id }) => id);
        await client.query(PAUSE, [changed, ...attribution, null]);
        await pauseBelow(client, changed, attribution);
        return { changed, left };
      }),
    resumeAll: (runs, reason) =>
      inTransaction(pool, async (client) => {
        const { attribution, roots, left } = await rootsOf(client, runs, reason);
        const changed = roots.filter((run) => resumeOf(run, false) === 'go_on').map(({ id }) => id);
        return { changed, left, goOn: (await goOn(client, changed, attribution)).goOn };
      }),
  };
}

async function rootsOf(client: pg.PoolClient, { tenantId, runIds, by }: RunsOfCaller, reason: string | undefined) {
  const roots = (await client.query<Found>(ROOTS, [tenantId, runIds])).rows;
  const found = new Set(roots.map(({ id }) => id));
  const attribution: Attribution = [by, reason ?? null];
  return { attribution, roots, left: runIds.filter((id) => !found.has(id)) };
}

/** Each level in a statement of its own: only that sees what was started there while the locks were waited for. */
async function pauseBelow(client: pg.PoolClient, from: readonly string[], attribution: Attribution): Promise<void> {
  for (let level = from; level.length > 0; ) {
    const { rows } = await client.query<Found>(BELOW, [level]);
    const paused = rows.filter((run) => pausedAbove(run) === 'pause').map(({ id }) => id);
    if (paused.length > 0) await client.query(PAUSE, [paused, ...attribution, true]);
    level = rows.filter((run) => pausedAbove(run) !== 'leave').map(({ id }) => id);
  }
}

async function goOn(
  client: pg.PoolClient,
  from: readonly string[],
  attribution: Attribution,
): Promise<Pick<Resumed, 'status' | 'goOn'>> {
  const all: Array<Pick<Found, 'id' | 'status'>> = [];
  for (let level = from; level.length > 0; ) {
    all.push(...(await client.query<Found>(GO_ON, [level, ...attribution])).rows);
    const { rows } = await client.query<Found>(BELOW, [level]);
    level = rows.filter(goesOnWithParent).map(({ id }) => id);
  }
  return { status: all[0]?.status ?? 'pending', goOn: all.map(({ id }) => id) };
}
