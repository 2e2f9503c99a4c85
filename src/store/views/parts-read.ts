/** Reads the items of fan-outs for the API: how many of each status, and page by page what became of them. */
import type pg from 'pg';
import type { TaskStatus } from '../../domain/runs/run-states.ts';
import type { PartsQuery } from '../../engine/ports/read-models.ts';
import type { PartCounts, PartView } from '../../engine/ports/run-views.ts';
import type { Json } from '../../schemas/json.ts';
import type { Clients } from '../core/database.ts';
import { readAttempts } from './attempts-read.ts';
import { waitsOf } from './waiting-for.ts';

const COUNTS = `
SELECT parent_id, status, count(*)::int AS count FROM task WHERE run_id = $1 AND parent_id IS NOT NULL GROUP BY parent_id, status`;

const PART = {
  actionId: true,
  position: true,
  status: true,
  attempt: true,
  endedAttempt: true,
  item: true,
  input: true,
  output: true,
  error: true,
  startedAt: true,
  finishedAt: true,
  worker: true,
} as const;

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

export async function readParts(
  { pool, prisma }: Clients,
  tenantId: string,
  runId: string,
  { of, status, limit, after }: PartsQuery,
): Promise<{ items: PartView[]; more: boolean } | undefined> {
  const run = await prisma.run.findFirst({ where: { id: runId, tenantId }, select: { epoch: true } });
  if (run === null) return undefined;
  const rows = await prisma.task.findMany({
    where: { runId, parentId: of, position: { gt: after ?? -1 }, ...(status === undefined ? {} : { status }) },
    select: PART,
    orderBy: { position: 'asc' },
    take: limit + 1,
  });
  const shown = rows.slice(0, limit);
  const sleeping = shown.flatMap((row) => (row.status === 'waiting' ? [row.actionId] : []));
  const [attempts, waits] = await Promise.all([
    readAttempts(prisma, { runId, actionId: { in: shown.map((row) => row.actionId) } }),
    waitsOf(pool, { id: runId, epoch: run.epoch }, sleeping),
  ]);
  const items = shown.map(({ actionId, position, item, input, output, error, attempt, endedAttempt, ...row }) => ({
    ...row,
    actionId,
    position: position ?? 0, // Of a part it is never null.
    status: row.status as TaskStatus, // No other word is ever written.
    attempts: Math.max(attempt, endedAttempt),
    ...{ item: item as Json, input: input as Json, output: output as Json, error: error as Json },
    history: attempts.get(actionId) ?? [],
    waitsFor: waits.get(actionId),
  }));
  return { items, more: rows.length > limit };
}
