/** The admission window: who has runs in the queue, who waits, and the next runs of each tenant. */
import type pg from 'pg';
import type { WindowUse } from '../../domain/fairness/fair-share.ts';
import { RUNS_UNDER_WAY } from '../../domain/runs/run-states.ts';
import type { RunRow } from '../../engine/ports/rows.ts';
import type { WindowQuery } from '../../engine/ports/runs.ts';
import { sqlList } from '../core/states.ts';
import { WAITS_IN_QUEUE, WAITS_IN_WINDOW } from '../recover/sleeping-runs.ts';
import { type RawRun, RUN_COLUMNS, toRunRow } from '../runs/run-row.ts';

/** As the index `run_pending_by_tenant` has it. `row`: its alias, with a dot. */
export const waitsForWindow = (row = ''): string =>
  `${row}status = 'pending' AND ${row}due_at IS NULL AND ${row}waits_for_slot IS NULL`;
const WAITS = waitsForWindow();

/** As the index `run_under_way_check_at` has it. */
export const UNDER_WAY = `NOT final AND status IN ${sqlList(RUNS_UNDER_WAY)}`;

/** Runs that count in the window, up to about that many. One that sleeps does not; what is paused does not either. */
export const IN_WINDOW = (column: string, limit: string, of = 'true'): string => `
    (SELECT ${column} FROM run WHERE ${UNDER_WAY} AND ${of} LIMIT ${limit})
    UNION ALL (SELECT ${column} FROM run WHERE ${WAITS_IN_WINDOW} AND ${of} LIMIT ${limit})`;

/** Runs that have jobs in the queue, with those that sleep there for less than it takes to leave it. */
export const IN_QUEUE = (columns: string, of: string): string => `
    SELECT ${columns} FROM run r WHERE ${UNDER_WAY} AND ${of}
    UNION ALL SELECT ${columns} FROM run r WHERE ${WAITS_IN_QUEUE} AND ${of}`;

// From tenant to tenant by the index, so that what it takes does not depend on how many runs each of them has. Of a tenant
// whose runs are all young it reads them all: those of two seconds.
const WINDOW_USE = `
WITH RECURSIVE live AS MATERIALIZED (
  SELECT tenant_id, count(*)::int AS runs FROM (
    ${IN_WINDOW('tenant_id', '$1')}
  ) AS live_ones GROUP BY tenant_id
), tenant AS (
  (SELECT tenant_id FROM run WHERE ${WAITS} AND tenant_id > $3 ORDER BY tenant_id LIMIT 1)
  UNION ALL
  SELECT (SELECT r.tenant_id FROM run r WHERE ${WAITS} AND r.tenant_id > t.tenant_id ORDER BY r.tenant_id LIMIT 1)
  FROM tenant t WHERE t.tenant_id IS NOT NULL
), waiting AS (
  SELECT tenant_id FROM tenant t
  WHERE t.tenant_id IS NOT NULL AND EXISTS (
    SELECT 1 FROM run r WHERE r.tenant_id = t.tenant_id AND ${WAITS} AND r.created_at <= now() - make_interval(secs => $2::float8 / 1000))
  LIMIT $4
)
SELECT (SELECT array_agg(tenant_id) FROM live) AS tenants, (SELECT array_agg(runs) FROM live) AS runs,
       (SELECT array_agg(tenant_id) FROM waiting) AS waiting`;

// An array, and not a join: the planner knows neither how many tenants nor how many slots there are, and would rather read
// all runs there are.
const TAKE_PENDING = `
WITH next AS (
  SELECT p.id FROM unnest($1::text[], $2::int[]) AS g(tenant_id, places)
  CROSS JOIN LATERAL (
    SELECT r.id FROM run r
    WHERE r.tenant_id = g.tenant_id AND ${WAITS} AND r.created_at <= now() - make_interval(secs => $3::float8 / 1000)
    ORDER BY r.priority, r.deadline_at, r.created_at, r.id LIMIT g.places FOR UPDATE SKIP LOCKED
  ) p
)
UPDATE run r SET gen = r.gen + 1, left_queue = NULL, check_at = now() + interval '30 seconds' WHERE r.id = ANY (ARRAY(SELECT id FROM next))
RETURNING ${RUN_COLUMNS}`;

const RELEASE_DUE = `
UPDATE run SET due_at = NULL WHERE id = ANY (ARRAY(
  SELECT id FROM run WHERE status = 'pending' AND due_at IS NOT NULL AND due_at <= now()
  ORDER BY due_at LIMIT $1 FOR UPDATE SKIP LOCKED
))`;
const RELEASED_PER_PASS = 10_000;

export async function windowUse(pool: pg.Pool, query: WindowQuery): Promise<WindowUse> {
  const { rows } = await pool.query<{ tenants: string[] | null; runs: number[] | null; waiting: string[] | null }>({
    name: 'window-use',
    text: WINDOW_USE,
    // More than fit, or a window that is more than full would look as if it were just full.
    values: [query.window * 2, query.olderThanMs, query.after, query.tenants],
  });
  const { tenants, runs, waiting } = rows[0] ?? {};
  const counts = runs ?? [];
  return {
    inQueue: new Map((tenants ?? []).map((id, index) => [id, counts[index] ?? 0])),
    total: counts.reduce((sum, count) => sum + count, 0),
    waiting: waiting ?? [],
  };
}

export async function takePending(
  pool: pg.Pool,
  grants: ReadonlyMap<string, number>,
  olderThanMs: number,
): Promise<RunRow[]> {
  const { rows } = await pool.query<RawRun>({
    name: 'take-pending',
    text: TAKE_PENDING,
    values: [[...grants.keys()], [...grants.values()], olderThanMs],
  });
  return rows.map(toRunRow);
}

export async function releaseDue(pool: pg.Pool): Promise<void> {
  await pool.query({ name: 'release-due', text: RELEASE_DUE, values: [RELEASED_PER_PASS] });
}
