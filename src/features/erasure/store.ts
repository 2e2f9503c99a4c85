/** Erasing in PostgreSQL: each step is one kind of rows, each batch of it one transaction. */
import type pg from 'pg';
import type { TenantTables } from '../../feature.ts';
import { columnsOf } from '../../store/core/columns.ts';
import { inTransaction } from '../../store/core/in-transaction.ts';
import { notBarredFrom } from '../../store/core/states.ts';
import { type Erasure as ErasureRow, Prisma } from '../../store/generated/client.ts';
import type { Cleared, Erasure, ErasureSteps } from './ports.ts';
import { HANGING_TABLES, OF_USER, RUN_TABLES, TENANT_TABLES, WHO, WHO_ELSEWHERE } from './tables.ts';

/** Stands for a user whose data has been erased. */
export const ERASED = 'erased';
const RUNS_PER_STEP = 50;
/** The queue keeps jobs that failed for a day, and others for minutes. */
const LONG_ENDED = `coalesce(r.finished_at <= now() - interval '2 days', false)`;

/** $1 tenant, $2 subject or null, $3 when it was asked for: what a user begins later is not meant. */
export const RUNS = `r.tenant_id = $1 AND ($2::text IS NULL OR (r.user_id = $2 AND r.created_at <= $3::timestamptz))`;
/** A run that another one, which has not ended, may still ask about has not ended either. */
const UNDER_WAY = `(NOT r.final OR (r.awaited AND EXISTS (SELECT FROM run p WHERE p.id = r.parent_run_id AND NOT p.final)))`;
const ACTIVE = `EXISTS (SELECT FROM run r WHERE r.tenant_id = e.tenant_id
  AND (e.subject IS NULL OR (r.user_id = e.subject AND r.created_at <= e.requested_at)) AND ${UNDER_WAY})`;

export const ERASURE = columnsOf(Prisma.ErasureScalarFieldEnum);

const TAKE = `
SELECT ${ERASURE} FROM erasure e WHERE e.status <> 'completed' AND NOT ${ACTIVE}
ORDER BY e.requested_at, e.id LIMIT 1 FOR UPDATE OF e SKIP LOCKED`;
// The erasures first: from the runs' side their order would be kept by walking through all of them.
export const RUNS_TO_CANCEL = `
WITH due AS MATERIALIZED (SELECT tenant_id, subject, requested_at FROM erasure WHERE status <> 'completed' AND force)
SELECT e.tenant_id, r.id FROM due e CROSS JOIN LATERAL (
  SELECT id FROM run
  WHERE tenant_id = e.tenant_id AND NOT final AND ${notBarredFrom('cancel')}
    AND (e.subject IS NULL OR (user_id = e.subject AND created_at <= e.requested_at))
  ORDER BY created_at LIMIT $1
) r LIMIT $1`;

const LEAVING = `
SELECT e.id AS erasure_id, r.id, r.epoch, t.action_id, t.action_type
FROM (SELECT e.* FROM erasure e WHERE e.status <> 'completed' AND NOT ${ACTIVE} ORDER BY e.requested_at, e.id LIMIT 1) e
CROSS JOIN LATERAL (
  SELECT r.id, r.epoch FROM run r
  WHERE r.tenant_id = e.tenant_id AND (e.subject IS NULL OR (r.user_id = e.subject AND r.created_at <= e.requested_at))
    AND r.final AND NOT ${LONG_ENDED}
  ORDER BY r.created_at, r.id LIMIT ${RUNS_PER_STEP}
) r
LEFT JOIN task t ON t.run_id = r.id`;

interface Batch {
  cleared: Cleared | undefined;
  client: pg.PoolClient;
  of: ErasureRow;
  limit: number;
}
/** Adds to `removed`; where the step goes on, or undefined when nothing is left of it. */
type Step = (batch: Batch, removed: Map<string, number>) => Promise<string | true | undefined>;

/** What is under way knows its step by number: those of features come last. */
const tenantSteps = (tables: TenantTables): readonly Step[] => [
  removeRuns,
  ...Object.entries(HANGING_TABLES).map(([table, { column, parent }]) =>
    removing(table, `t.${column} IN (SELECT id FROM ${parent} WHERE tenant_id = $1)`),
  ),
  ...Object.keys({ ...TENANT_TABLES, ...tables }).map((table) => removing(table, 't.tenant_id = $1')),
];

const OF_RUN = `t.run_id IN (SELECT id FROM run WHERE tenant_id = $1)`;
const SUBJECT_STEPS: readonly Step[] = [
  removeRuns,
  ...OF_USER.filter((table) => table !== 'run').map((table) =>
    removing(table, 't.tenant_id = $1 AND t.user_id = $2', true),
  ),
  ...WHO.map(({ table, column }) =>
    changing(table, `"${column}" = '${ERASED}'`, `t.tenant_id = $1 AND t."${column}" = $2`),
  ),
  changing(
    'workflow_version',
    `created_by = '${ERASED}'`,
    't.workflow_id IN (SELECT id FROM workflow WHERE tenant_id = $1) AND t.created_by = $2',
  ),
  changing('approval_decision', `decided_by = '${ERASED}', comment = NULL`, `${OF_RUN} AND t.decided_by = $2`),
  changing('signal_message', `sent_by = '${ERASED}'`, `${OF_RUN} AND t.sent_by = $2`),
  changing(
    'approval',
    `approvers = array_replace(approvers, $2, '${ERASED}'), escalate_to = array_replace(escalate_to, $2, '${ERASED}')`,
    't.tenant_id = $1 AND ($2 = ANY (t.approvers) OR $2 = ANY (t.escalate_to))',
  ),
  changeEvents,
];

/** `tables`: those of features, beside the ones that are listed here. */
export function createErasureSteps(pool: pg.Pool, tables: TenantTables = {}): ErasureSteps {
  const ofTenant = tenantSteps(tables);
  return {
    async isRequested() {
      const text = `SELECT FROM erasure WHERE status <> 'completed' LIMIT 1`;
      return (await pool.query({ name: 'open-erasure', text })).rowCount === 1;
    },
    async activeRuns(limit) {
      const { rows } = await pool.query<{ tenant_id: string; id: string }>(RUNS_TO_CANCEL, [limit]);
      return rows.map(({ tenant_id: tenantId, id: runId }) => ({ tenantId, runId }));
    },
    nextRuns: () => leaving(pool),
    step: (limit, cleared) =>
      inTransaction(pool, async (client) => {
        const of = (await client.query<ErasureRow>(TAKE)).rows[0];
        if (of === undefined) return undefined;
        const steps = of.subject === null ? ofTenant : SUBJECT_STEPS;
        const removed = new Map(Object.entries(of.removed as Erasure['removed']));
        const on = await steps[of.step]?.(
          { client, of, limit, cleared: cleared?.erasureId === of.id ? cleared : undefined },
          removed,
        );
        const next = on === undefined ? of.step + 1 : of.step;
        const completed = next >= steps.length;
        const json = JSON.stringify(Object.fromEntries(removed));
        await client.query(
          `UPDATE erasure SET status = $2, step = $3, after = $4, removed = $5::jsonb,
             finished_at = CASE WHEN $2 = 'completed' THEN now() END WHERE id = $1`,
          [of.id, completed ? 'completed' : 'running', next, typeof on === 'string' ? on : null, json],
        );
        return { id: of.id, tenantId: of.tenantId, completed, removed: Object.fromEntries(removed) };
      }),
  };
}

function count(removed: Map<string, number>, table: string, rows: number | null): number {
  if (rows !== null && rows > 0) removed.set(table, (removed.get(table) ?? 0) + rows);
  return rows ?? 0;
}

interface LeavingRow {
  erasure_id: string;
  id: string;
  epoch: number;
  action_id: string | null;
  action_type: string | null;
}

async function leaving(pool: pg.Pool): ReturnType<ErasureSteps['nextRuns']> {
  const { rows } = await pool.query<LeavingRow>(LEAVING);
  const runs = new Map<string, { runId: string; epoch: number; tasks: { actionId: string; actionType: string }[] }>();
  for (const { id, epoch, action_id: actionId, action_type: actionType } of rows) {
    const run = runs.get(id) ?? { runId: id, epoch, tasks: [] };
    runs.set(id, run);
    if (actionId !== null && actionType !== null) run.tasks.push({ actionId, actionType });
  }
  const erasureId = rows[0]?.erasure_id;
  return erasureId === undefined ? undefined : { erasureId, runs: [...runs.values()] };
}

async function removeRuns({ client, of, cleared }: Batch, removed: Map<string, number>): Promise<true | undefined> {
  const { rows } = await client.query<{ id: string }>(
    `SELECT r.id FROM run r WHERE ${RUNS} AND r.final AND (${LONG_ENDED} OR r.id = ANY ($4::text[]))
     ORDER BY r.created_at, r.id LIMIT ${RUNS_PER_STEP} FOR UPDATE`,
    [of.tenantId, of.subject, of.requestedAt, cleared?.runIds ?? []],
  );
  if (rows.length === 0) {
    const more = await client.query(`SELECT FROM run r WHERE ${RUNS} AND r.final LIMIT 1`, [
      of.tenantId,
      of.subject,
      of.requestedAt,
    ]);
    // They have ended since it was asked which ones go.
    return more.rows.length > 0 || undefined;
  }
  count(removed, 'job', cleared?.jobs ?? 0);
  const ids = rows.map(({ id }) => id);
  for (const table of Object.keys(RUN_TABLES)) {
    count(removed, table, (await client.query(`DELETE FROM ${table} WHERE run_id = ANY ($1)`, [ids])).rowCount);
  }
  for (const table of ['output_cache', 'call_span', 'webhook_delivery', 'platform_event', 'document']) {
    const sql = `DELETE FROM ${table} WHERE tenant_id = $1 AND run_id = ANY ($2)`;
    count(removed, table, (await client.query(sql, [of.tenantId, ids])).rowCount);
  }
  // A group stays, without the words of the run that goes.
  await client.query(
    'UPDATE error_group SET message = template, run_id = NULL WHERE tenant_id = $1 AND run_id = ANY ($2)',
    [of.tenantId, ids],
  );
  await client.query('UPDATE schedule_slot SET run_id = NULL WHERE run_id = ANY ($1)', [ids]);
  count(removed, 'run', (await client.query('DELETE FROM run WHERE id = ANY ($1)', [ids])).rowCount);
  return true;
}

function removing(table: string, where: string, ofUser = false): Step {
  const sql = `DELETE FROM ${table} WHERE ctid = ANY (ARRAY(SELECT t.ctid FROM ${table} t WHERE ${where} LIMIT ${ofUser ? '$3' : '$2'} FOR UPDATE))`;
  return async ({ client, of, limit }, removed) => {
    const values = ofUser ? [of.tenantId, of.subject, limit] : [of.tenantId, limit];
    const rows = count(removed, table, (await client.query(sql, values)).rowCount);
    return rows < limit ? undefined : true;
  };
}

function changing(table: string, set: string, where: string): Step {
  const sql = `UPDATE ${table} SET ${set} WHERE ctid = ANY (ARRAY(SELECT t.ctid FROM ${table} t WHERE ${where} LIMIT $3 FOR UPDATE))`;
  return async ({ client, of, limit }, removed) => {
    const rows = count(
      removed,
      `${table} (changed)`,
      (await client.query(sql, [of.tenantId, of.subject, limit])).rowCount,
    );
    return rows < limit ? undefined : true;
  };
}

// What was said to it goes; lists of approvers keep their places.
const CHANGE_EVENTS = `
UPDATE event SET data = (SELECT jsonb_object_agg(k, CASE
    WHEN k = 'by' AND v = to_jsonb($2::text) THEN '"${ERASED}"'::jsonb
    WHEN k IN ('approvers', 'from', 'to') AND jsonb_typeof(v) = 'array' THEN (SELECT
      coalesce(jsonb_agg(CASE WHEN x = to_jsonb($2::text) THEN '"${ERASED}"'::jsonb ELSE x END), '[]') FROM jsonb_array_elements(v) x)
    ELSE v END)
  FROM jsonb_each(data) e(k, v) WHERE NOT (k IN ('comment', 'reason') AND data ->> 'by' IS NOT DISTINCT FROM $2))
WHERE run_id = ANY ($1) AND jsonb_typeof(data) = 'object'
  AND (data ->> 'by' = $2 OR data -> 'approvers' ? $2 OR data -> 'from' ? $2 OR data -> 'to' ? $2)`;

/** Who did something to an execution of others stands in its events: all of them are looked at, some executions at a time. */
async function changeEvents({ client, of, limit }: Batch, removed: Map<string, number>): Promise<string | undefined> {
  const { rows } = await client.query<{ id: string }>(
    'SELECT id FROM run WHERE tenant_id = $1 AND id > $2 ORDER BY id LIMIT $3',
    [of.tenantId, of.after ?? '', limit],
  );
  const changed = await client.query(CHANGE_EVENTS, [rows.map(({ id }) => id), of.subject]);
  count(removed, 'event (changed)', changed.rowCount);
  return rows.length < limit ? undefined : rows.at(-1)?.id;
}

/** What the test of the tables looks at. */
export const CHANGED_COLUMNS = [...WHO, ...WHO_ELSEWHERE];
