/**
 * The events of runs in an order that never changes. The id of a row is given before its transaction commits, so within one
 * run a row with a smaller id may become visible after one with a greater: whoever goes on after the greatest id seen would
 * miss it. So whoever first reads the events of a run numbers what is visible and has no number yet (`seq`), one at a time
 * for each run; what becomes visible later gets later numbers. docs/decisions/0016-numbered-when-read.md has the alternatives.
 */
import pg from 'pg';
import type { RunEvent } from '../../domain/runs/run-events.ts';
import type { EventsRequest, RunEvents, SeenRun } from '../../engine/follow/follow-run.ts';
import { createBatcher } from '../core/batch.ts';
import { EACH } from '../core/by-key.ts';

/** Any constant will do, as long as it is ours alone among locks of two numbers. */
export const NUMBERING_LOCK = 7_202_613;
const PAGES_PER_STATEMENT = 50;

// Run and events in one statement: a run that is seen as final is seen with its last event.
const LOOK = `
SELECT r.id, r.tenant_id AS "tenantId", r.final, r.started_at AS "startedAt", e.last, e.unnumbered,
  (SELECT coalesce(sum(version), 0) FROM task_report WHERE run_id = r.id)::int AS reports
FROM unnest($1::text[]) AS k(id) CROSS JOIN LATERAL (SELECT id, tenant_id, final, started_at FROM run WHERE id = k.id ${EACH}) r
CROSS JOIN LATERAL (
  SELECT coalesce(max(seq), 0) AS last, (count(*) FILTER (WHERE seq IS NULL))::int AS unnumbered FROM event WHERE run_id = r.id
) e`;

const PAGES = `
SELECT k.n::int AS n, e.seq AS id, e.action_id AS "actionId", e.epoch, e.attempt, e.kind, e.data AS details, e.at
FROM unnest($1::text[], $2::int[], $3::int[]) WITH ORDINALITY AS k(run_id, after, count, n)
CROSS JOIN LATERAL (
  SELECT * FROM event WHERE run_id = k.run_id AND seq > k.after ORDER BY seq LIMIT k.count
) e
ORDER BY k.n, e.seq`;

interface RawProgress {
  id: string;
  tenantId: string;
  final: boolean;
  startedAt: Date | null;
  last: number;
  unnumbered: number;
  reports: number;
}

export function createRunEvents(pool: pg.Pool): RunEvents {
  const page = createBatcher<EventsRequest, RunEvent[]>({
    maxItems: PAGES_PER_STATEMENT,
    flush: (requests) => readPages(pool, requests),
  });
  const look = async (runIds: readonly string[]) => {
    const { rows } = await pool.query<RawProgress>({ name: 'look-at-runs', text: LOOK, values: [runIds] });
    return rows;
  };
  return {
    page,
    async progress(runIds) {
      const seen = await look(runIds);
      const behind = seen.filter(({ unnumbered }) => unnumbered > 0).map(({ id }) => id);
      if (behind.length === 0) return new Map(seen.map(toSeenRun));
      await pool.query(numbering(behind));
      return new Map([...seen, ...(await look(behind))].map(toSeenRun));
    },
  };
}

/**
 * One message, so that nobody can hold the locks and stand still; and two statements, because the second has to see what
 * the holder of the lock before has committed. Locks are taken in one order everywhere. The windows are of one run each:
 * of anything flatter the planner, who knows little of these tables, makes a walk through all events of all runs.
 */
function numbering(runIds: readonly string[]): string {
  const ids = `ARRAY[${runIds.map((id) => pg.escapeLiteral(id)).join(', ')}]::text[]`;
  return `
SELECT pg_advisory_xact_lock(${NUMBERING_LOCK}, h) FROM (SELECT DISTINCT hashtext(id) AS h FROM unnest(${ids}) AS k(id) ORDER BY h) l;
WITH n AS MATERIALIZED (
  SELECT k.run_id, o.id, o.seq
  FROM unnest(${ids}) AS k(run_id)
  CROSS JOIN LATERAL (
    SELECT id, seq IS NULL AS unnumbered,
           coalesce(max(seq) OVER (), 0) + row_number() OVER (PARTITION BY seq IS NULL ORDER BY id) AS seq
    FROM event WHERE run_id = k.run_id
  ) o
  WHERE o.unnumbered
)
UPDATE event e SET seq = n.seq FROM n WHERE e.run_id = n.run_id AND e.id = n.id AND e.seq IS NULL`;
}

/** Readers of one run are often at the same place: what they ask for is read once. */
async function readPages(pool: pg.Pool, requests: readonly EventsRequest[]): Promise<RunEvent[][]> {
  const keys = requests.map(({ runId, after, limit }) => JSON.stringify([runId, after, limit]));
  const different = new Map(keys.map((key, index) => [key, requests[index]]));
  const wanted = [...different.values()].flatMap((request) => (request === undefined ? [] : [request]));
  const { rows } = await pool.query<RunEvent & { n: number }>({
    name: 'pages-of-events',
    text: PAGES,
    values: [wanted.map(({ runId }) => runId), wanted.map(({ after }) => after), wanted.map(({ limit }) => limit)],
  });
  const pages = new Map([...different.keys()].map((key, index) => [key, rows.filter(({ n }) => n === index + 1)]));
  return keys.map((key) => (pages.get(key) ?? []).map(({ n: _, ...event }) => event));
}

function toSeenRun({ id, final, unnumbered, ...seen }: RawProgress): [string, SeenRun] {
  return [id, { ...seen, final: final && unnumbered === 0 }];
}
