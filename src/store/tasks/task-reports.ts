/** Reports of running tasks: written by workers in batches, read by whoever follows the run. */
import type pg from 'pg';
import type { TaskReportRow } from '../../domain/runs/live-reports.ts';
import type { TaskReportStore } from '../../engine/deliver/task-reports.ts';
import type { LiveReports } from '../../engine/follow/live-reader.ts';
import type { Json } from '../../schemas/json.ts';
import { payload, readText, textPayload } from '../payloads/payloads.ts';

// A newer attempt, and a newer holder of this one, wins: what an older one still says is left out, with its chunks. The
// first chunk of an execution takes those of the one before away.
const WRITE = `
WITH o AS (
  SELECT * FROM unnest($1::text[], $2::text[], $3::int[], $4::int[], $5::int[], $6::uuid[], $7::float8[], $8::text[], $9::int[], $10::bool[])
    AS o(run_id, action_id, epoch, attempt, fence, execution, percent, message, chunks, truncated)
), w AS (
  INSERT INTO task_report AS t (run_id, action_id, epoch, attempt, fence, execution, percent, message, chunks, truncated, has_chunks, at)
  SELECT run_id, action_id, epoch, attempt, fence, execution, percent, message, coalesce(chunks, 0), truncated, chunks IS NOT NULL, now()
  FROM o ORDER BY run_id, action_id
  ON CONFLICT (run_id, action_id) DO UPDATE SET
    epoch = EXCLUDED.epoch, attempt = EXCLUDED.attempt, fence = EXCLUDED.fence, execution = EXCLUDED.execution,
    percent = EXCLUDED.percent, message = EXCLUDED.message, truncated = EXCLUDED.truncated, version = t.version + 1, at = now(),
    chunks = CASE WHEN t.execution = EXCLUDED.execution THEN greatest(t.chunks, EXCLUDED.chunks) ELSE EXCLUDED.chunks END,
    has_chunks = t.has_chunks OR EXCLUDED.has_chunks
  WHERE (t.epoch, t.attempt, t.fence) <= (EXCLUDED.epoch, EXCLUDED.attempt, EXCLUDED.fence)
  RETURNING t.run_id, t.action_id, t.execution
), c AS (
  INSERT INTO task_chunk (run_id, action_id, execution, n, chunk)
  SELECT w.run_id, w.action_id, w.execution, k.n, k.chunk
  FROM unnest($11::uuid[], $12::int[], $13::jsonb[]) AS k(execution, n, chunk) JOIN w ON w.execution = k.execution
  ON CONFLICT DO NOTHING
), d AS (
  DELETE FROM task_chunk c USING w
  WHERE c.run_id = w.run_id AND c.action_id = w.action_id AND c.execution <> w.execution
    AND w.execution IN (SELECT k.execution FROM unnest($11::uuid[], $12::int[]) AS k(execution, n) WHERE k.n = 1)
)
-- Several ids in one notification, which must stay below 8,000 bytes.
SELECT count(pg_notify('run_live', ids))
FROM (SELECT string_agg(run_id, ',') AS ids FROM (SELECT run_id, row_number() OVER () / 20 AS part FROM (SELECT DISTINCT run_id FROM w) d) p GROUP BY part) n`;

// What was written in one statement has one time, and another may commit a little later than its time says.
const REPORTS = `
SELECT t.action_id AS "actionId", t.epoch, t.attempt, t.execution, t.percent, ${readText('t.message')} AS message, t.chunks, t.truncated, t.version, t.at, coalesce(k.final, false) AS over
FROM task_report t JOIN run r ON r.id = t.run_id LEFT JOIN task k ON k.run_id = t.run_id AND k.action_id = t.action_id
WHERE t.run_id = $1 AND t.epoch = r.epoch AND ($2::timestamptz IS NULL OR t.at > $2::timestamptz - interval '10 seconds')
ORDER BY t.at, t.action_id`;

const CHUNKS = `
SELECT n, chunk FROM task_chunk WHERE run_id = $1 AND action_id = $2 AND execution = $3 AND n > $4 AND n <= $5 ORDER BY n LIMIT $6`;

// Readers are a moment behind. The run is in the partial index only as long as there is something to remove.
const REMOVE_CHUNKS = `
WITH done AS (
  SELECT t.run_id, t.action_id FROM task_report t
  WHERE t.has_chunks AND t.at < now() - make_interval(secs => $1::float8)
    AND NOT EXISTS (SELECT 1 FROM task k JOIN run r ON r.id = k.run_id WHERE k.run_id = t.run_id AND k.action_id = t.action_id AND NOT k.final AND NOT r.final)
  ORDER BY t.run_id, t.action_id LIMIT $2 FOR UPDATE SKIP LOCKED
), c AS (
  DELETE FROM task_chunk c USING done d WHERE c.run_id = d.run_id AND c.action_id = d.action_id
)
UPDATE task_report t SET has_chunks = false FROM done d WHERE t.run_id = d.run_id AND t.action_id = d.action_id`;

export function createTaskReportStore(pool: pg.Pool): TaskReportStore & LiveReports {
  return {
    async write(reports) {
      const column = <T>(pick: (report: (typeof reports)[number]) => T): T[] => reports.map(pick);
      const chunks = reports.flatMap(({ tenantId, execution, chunks: own }) =>
        own.map((chunk) => ({ tenantId, execution, ...chunk })),
      );
      await pool.query({
        name: 'write-task-reports',
        text: WRITE,
        values: [
          column((r) => r.runId),
          column((r) => r.actionId),
          column((r) => r.epoch),
          column((r) => r.attempt),
          column((r) => r.fence),
          column((r) => r.execution),
          column((r) => r.percent),
          column((r) => textPayload(r.message, r.tenantId)),
          column((r) => r.chunks.at(-1)?.n ?? null),
          column((r) => r.truncated),
          chunks.map(({ execution }) => execution),
          chunks.map(({ n }) => n),
          chunks.map(({ json, tenantId }) => payload(json, tenantId)),
        ],
      });
    },
    async reports(runId, since) {
      const { rows } = await pool.query<TaskReportRow & { at: Date }>({
        name: 'task-reports',
        text: REPORTS,
        values: [runId, since ?? null],
      });
      return rows;
    },
    async chunks({ runId, actionId, execution, after, upTo, limit }) {
      const { rows } = await pool.query<{ n: number; chunk: Json }>({
        name: 'task-chunks',
        text: CHUNKS,
        values: [runId, actionId, execution, after, upTo, limit],
      });
      return rows;
    },
  };
}

/** Removes the chunks of outputs whose tasks ended more than `olderThanSeconds` ago; resolves to how many tasks it did. */
export async function removeOldChunks(pool: pg.Pool, olderThanSeconds: number, limit: number): Promise<number> {
  const { rowCount } = await pool.query({
    name: 'remove-old-chunks',
    text: REMOVE_CHUNKS,
    values: [olderThanSeconds, limit],
  });
  return rowCount ?? 0;
}
