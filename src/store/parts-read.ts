/** Reads the parts of tasks for the doors: how many of each status, and page by page what became of them. */
import type pg from 'pg';
import type { PartsWanted } from '../engine/read-models.ts';
import type { TaskStatus } from '../engine/use-cases.ts';
import type { Json } from '../schemas/json.ts';
import type { ExecutionPart } from '../schemas/workflow-answers.ts';
import { type AttemptRecord, attemptOf, type PartCounts } from './run-views.ts';
import { waitsOf } from './waiting-for.ts';

const COUNTS = `
SELECT parent_id, status, count(*)::int AS count FROM task WHERE run_id = $1 AND parent_id IS NOT NULL GROUP BY parent_id, status`;

const PARTS = `
SELECT action_id, position, status, greatest(attempt, ended_attempt) AS attempts, item, input, output, error, started_at,
       finished_at, worker
FROM task
WHERE run_id = $1 AND parent_id = $2 AND position > $3 AND ($4::text IS NULL OR status = $4) ORDER BY position LIMIT $5`;

const ATTEMPTS = `
SELECT action_id, attempt, epoch, status, error, worker, started_at, finished_at
FROM attempt WHERE run_id = $1 AND action_id = ANY($2::text[]) ORDER BY action_id, epoch, attempt`;

export async function countParts(pool: pg.Pool, runId: string): Promise<Map<string, PartCounts>> {
  const { rows } = await pool.query<{ parent_id: string; status: TaskStatus; count: number }>({
    name: 'count-parts',
    text: COUNTS,
    values: [runId],
  });
  const counts = new Map<string, PartCounts>();
  for (const { parent_id: id, status, count } of rows) {
    const known = counts.get(id) ?? { total: 0 };
    counts.set(id, { ...known, total: known.total + count, [status]: count });
  }
  return counts;
}

interface PartRecord {
  action_id: string;
  position: number;
  status: TaskStatus;
  attempts: number;
  item: Json;
  input: Json;
  output: Json;
  error: Json;
  started_at: Date | null;
  finished_at: Date | null;
  worker: string | null;
}

export async function readParts(
  pool: pg.Pool,
  tenantId: string,
  runId: string,
  { of, status, limit, after }: PartsWanted,
): Promise<{ items: ExecutionPart[]; more: boolean } | undefined> {
  const run = await pool.query<{ epoch: number }>('SELECT epoch FROM run WHERE id = $1 AND tenant_id = $2', [
    runId,
    tenantId,
  ]);
  const [found] = run.rows;
  if (found === undefined) return undefined;
  const { rows } = await pool.query<PartRecord>(PARTS, [runId, of, after ?? -1, status ?? null, limit + 1]);
  const shown = rows.slice(0, limit);
  const sleeping = shown.flatMap((row) => (row.status === 'waiting' ? [row.action_id] : []));
  const [attempts, waits] = await Promise.all([
    pool.query<AttemptRecord>(ATTEMPTS, [runId, shown.map((row) => row.action_id)]),
    waitsOf(pool, { id: runId, epoch: found.epoch }, sleeping),
  ]);
  const items = shown.map((row) => ({
    ...row,
    attempts_history: attempts.rows.filter((one) => one.action_id === row.action_id).map(attemptOf),
    started_at: row.started_at?.toISOString() ?? null,
    finished_at: row.finished_at?.toISOString() ?? null,
    ...(waits.has(row.action_id) ? { waiting_for: waits.get(row.action_id) } : {}),
  }));
  return { items, more: rows.length > limit };
}
