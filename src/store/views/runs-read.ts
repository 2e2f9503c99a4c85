/** Reads runs for the API. A run is read before its tasks: one that is seen as final has all of its final rows. */
import type pg from 'pg';
import { FINAL_RUN_STATUSES } from '../../domain/runs/run-states.ts';
import type { Definitions } from '../../engine/ports/definitions.ts';
import type { RunFilter, RunReader, RunWindow } from '../../engine/ports/read-models.ts';
import type { ConcurrencyWait, PausedBy } from '../../engine/ports/run-views.ts';
import type { JsonObject } from '../../schemas/json.ts';
import { waitsForSlot } from '../accept/concurrency.ts';
import type { Clients } from '../core/database.ts';
import type { PrismaClient } from '../generated/client.ts';
import { definitionRef } from '../runs/run-row.ts';
import { readAttempts } from './attempts-read.ts';
import { childrenOf } from './child-views.ts';
import { readUndoings } from './compensations-read.ts';
import { externalTasksOf } from './external-tasks.ts';
import { readLateEffects } from './late-effects.ts';
import { countParts, readParts } from './parts-read.ts';
import {
  liveStatus,
  type Report,
  type ResultRecord,
  type RunHead,
  resultOf,
  summaryOf,
  type TaskRecord,
  tasksOf,
} from './run-views.ts';
import { waitsOf } from './waiting-for.ts';

/** Beyond it the position of a run that waits is not given. */
const MAX_POSITION = 1_000;
/** Inputs and outputs of one execution view together; the rest is left out, or a view could be gigabytes. */
const MAX_VIEW_BYTES = 16 * 1024 * 1024;

const HEAD = `r.id, r.tenant_id, r.user_id, r.workflow_id, r.workflow_version, r.inline, r.status, r.error, r.priority,
  r.trace_id, r.correlation_id, r.created_at, r.started_at, r.finished_at, r.deadline_at,
  r.parent_run_id, r.parent_action_id`;

// Of a run that waits for a place in its group: how many come before it. A long list is not walked to its end.
const RUN = `
SELECT ${HEAD}, r.parameters, r.output, r.cancel_reason, r.epoch, r.concurrency_key, r.concurrency_limit,
  CASE WHEN r.status = 'pending' AND r.waits_for_slot THEN (
    SELECT count(*)::int FROM (
      SELECT 1 FROM run w
      WHERE w.tenant_id = r.tenant_id AND w.workflow_id = r.workflow_id AND w.concurrency_key = r.concurrency_key
        AND ${waitsForSlot('w.')}
        AND (w.priority, coalesce(w.deadline_at, 'infinity'), w.created_at, w.id)
          < (r.priority, coalesce(r.deadline_at, 'infinity'), r.created_at, r.id)
      LIMIT ${MAX_POSITION}
    ) AS before
  ) END AS waits_behind
FROM run r WHERE r.tenant_id = $1 AND r.id = $2`;

/** Those of parts (`fetch[3]`) are read with the parts. */
const OF_PART = { endsWith: ']' };

// The stored size is cheap and comes first; the real one is only asked of what has passed that.
const TASKS = `
SELECT action_id, status, epoch, attempts, error, started_at, finished_at, worker, cached,
       effect_unknown AND final AND status <> 'completed' AS effect_unknown, NOT fits AND bytes > 0 AS omitted,
       CASE WHEN fits THEN input END AS input, CASE WHEN fits THEN output END AS output
FROM (
  SELECT *, stored <= $2 AND sum(bytes) OVER (ORDER BY action_id) <= $2 AS fits
  FROM (
    SELECT *, CASE WHEN stored <= $2
      THEN coalesce(octet_length(input::text), 0) + coalesce(octet_length(output::text), 0) ELSE stored END AS bytes
    FROM (
      SELECT *, greatest(attempt, ended_attempt) AS attempts,
             sum(coalesce(pg_column_size(input), 0) + coalesce(pg_column_size(output), 0)) OVER (ORDER BY action_id) AS stored
      FROM task WHERE run_id = $1 AND parent_id IS NULL
    ) sized
  ) weighed
) t`;

const PAUSED = `
SELECT data, at FROM event WHERE run_id = $1 AND kind = 'run.paused' ORDER BY id DESC LIMIT 1`;

/** Of a tenant, and a run. */
export const READ_RESULT = `
SELECT r.id, r.status, r.workflow_id, r.epoch, r.output, r.error, r.cancel_reason,
       EXISTS (SELECT 1 FROM task b WHERE b.run_id = r.id AND b.epoch = r.epoch AND b.status <> 'pending') AS started,
       t.output AS task_output, greatest(t.attempt, t.ended_attempt) AS task_attempts,
       coalesce(r.finished_at, t.updated_at, r.started_at, r.created_at) AS changed_at
FROM run r LEFT JOIN task t ON r.workflow_id IS NULL AND t.run_id = r.id
WHERE r.tenant_id = $1 AND r.id = $2`;

type RunRecord = RunHead & {
  parameters: JsonObject;
  output: ResultRecord['output'];
  cancel_reason: string | null;
  epoch: number;
  concurrency_key: string | null;
  concurrency_limit: number | null;
  /** How many wait before it; null: it does not wait for a place. */
  waits_behind: number | null;
};

export function createRunReader(clients: Clients, definitions: Definitions): RunReader {
  const { pool, prisma } = clients;
  return {
    async result(tenantId, runId) {
      const { rows } = await pool.query<ResultRecord>({
        name: 'read-result',
        text: READ_RESULT,
        values: [tenantId, runId],
      });
      const row = rows[0];
      return row && { ...resultOf(row), final: FINAL_RUN_STATUSES.includes(row.status) };
    },

    async execution(tenantId, runId) {
      const { rows } = await pool.query<RunRecord>({ name: 'read-run', text: RUN, values: [tenantId, runId] });
      const run = rows[0];
      if (run === undefined) return undefined;
      const [definition, tasks, attempts, reports, parts, undoings, lateEffects] = await Promise.all([
        definitions.load(definitionRef(run)),
        pool.query<TaskRecord>({ name: 'read-tasks', text: TASKS, values: [runId, MAX_VIEW_BYTES] }),
        readAttempts(prisma, { runId, NOT: { actionId: OF_PART } }),
        readReports(prisma, runId),
        countParts(pool, runId),
        readUndoings(pool, runId),
        readLateEffects(pool, tenantId, runId),
      ]);
      const taskRows = new Map(tasks.rows.map((row) => [row.action_id, row]));
      const sleeping = definition.actions
        .map(({ action_id }) => action_id)
        .filter((id) => taskRows.get(id)?.status === 'waiting');
      const isExternal = definition.actions.some(({ action_type }) => action_type === 'external');
      const children = await childrenOf(pool, runId, definition);
      const waits = await waitsOf(pool, { id: runId, epoch: run.epoch }, sleeping);
      const paused = run.status === 'paused' ? await pausedBy(pool, runId) : undefined;
      const externals = isExternal ? await externalTasksOf(pool, runId) : new Map();
      const parameters = run.workflow_id === null ? run.parameters : undefined;
      return {
        ...summaryOf(run),
        status: liveStatus(
          run.status,
          tasks.rows.some(({ epoch, status }) => epoch === run.epoch && status !== 'pending'),
        ),
        waitsFor: waitOf(run),
        parameters: run.parameters,
        output: run.output,
        tasks: tasksOf(
          definition,
          taskRows,
          { createdAt: run.created_at, parameters },
          { attempts, reports, parts, undoings, externals, children, waits },
        ),
        cancelReason: run.cancel_reason,
        paused,
        lateEffects,
      };
    },

    parts: (tenantId, runId, wanted) => readParts(clients, tenantId, runId, wanted),

    async list(tenantId, filter, window) {
      const where = conditions(tenantId, filter);
      const page = pageQuery(where, window);
      const [found, counted] = await Promise.all([
        pool.query<RunHead>(page.text, page.values),
        pool.query<{ total: number }>(`SELECT count(*)::int AS total FROM run r WHERE ${where.text}`, where.values),
      ]);
      const items = found.rows.slice(0, window.limit).map(summaryOf);
      return { items, total: counted.rows[0]?.total ?? 0, more: found.rows.length > window.limit };
    },
  };
}

async function readReports(prisma: PrismaClient, runId: string): Promise<Map<string, Report>> {
  const rows = await prisma.taskReport.findMany({
    where: { runId },
    select: { actionId: true, epoch: true, percent: true, message: true, at: true },
  });
  return new Map(rows.map(({ actionId, ...report }) => [actionId, report]));
}

async function pausedBy(pool: pg.Pool, runId: string): Promise<PausedBy | undefined> {
  const { rows } = await pool.query<{ data: { by: string; reason?: string }; at: Date }>(PAUSED, [runId]);
  const row = rows[0];
  return row && { by: row.data.by, since: row.at, reason: row.data.reason ?? null };
}

function waitOf(run: RunRecord): ConcurrencyWait | undefined {
  const { concurrency_key: key, concurrency_limit: limit, waits_behind: behind } = run;
  if (behind === null || key === null || limit === null) return undefined;
  return { key, limit, position: behind < MAX_POSITION ? behind + 1 : undefined };
}

interface Sql {
  text: string;
  values: unknown[];
}

function conditions(tenantId: string, filter: RunFilter): Sql {
  const values: unknown[] = [tenantId];
  const parts = ['r.tenant_id = $1'];
  const add = (column: string, value: unknown) => {
    if (value !== undefined) parts.push(`${column} $${values.push(value)}`);
  };
  add('r.workflow_id =', filter.workflowId);
  add('r.correlation_id =', filter.correlationId);
  add('r.status =', filter.status);
  add('r.parent_run_id =', filter.parent);
  add('r.user_id =', filter.userId);
  if (filter.ofWorkflows === true) parts.push('r.workflow_id IS NOT NULL');
  if (filter.workflowTag !== undefined) {
    const tagged = `ARRAY[$${values.push(filter.workflowTag)}]::text[]`;
    parts.push(`r.workflow_id IN (SELECT w.id FROM workflow w WHERE w.tenant_id = $1 AND w.tags @> ${tagged})`);
  }
  if (filter.statuses !== undefined) parts.push(`r.status = ANY($${values.push(filter.statuses)}::text[])`);
  if (filter.ids !== undefined) parts.push(`r.id = ANY($${values.push(filter.ids)}::text[])`);
  add('r.created_at >=', filter.from);
  add('r.created_at <', filter.to);
  return { text: parts.join(' AND '), values };
}

/** One more than asked for tells whether there is a next page. */
function pageQuery(where: Sql, { limit, skip, after }: RunWindow): Sql {
  const values = [...where.values];
  const keyset =
    after === undefined
      ? ''
      : ` AND (r.created_at, r.id) < ($${values.push(after.createdAt)}, $${values.push(after.id)})`;
  const text = `SELECT ${HEAD} FROM run r WHERE ${where.text}${keyset}
    ORDER BY r.created_at DESC, r.id DESC LIMIT $${values.push(limit + 1)} OFFSET $${values.push(skip)}`;
  return { text, values };
}
