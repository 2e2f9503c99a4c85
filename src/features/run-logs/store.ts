/** What adapters logged: written by workers in batches, read by whoever looks at the run. */
import type pg from 'pg';
import type { TaskLine, TaskLogStore } from '../../engine/deliver/task-logs.ts';
import type { LogLevel } from '../../engine/ports/logger.ts';
import type { Json, JsonObject } from '../../schemas/json.ts';
import { payload, readText, textPayload } from '../../store/payloads/payloads.ts';
import type { LogEntry, LogReader } from './ports.ts';

/** Of one run. */
export const MAX_LINES = 10_000;
export const MAX_BYTES = 4 * 1024 * 1024;

// How much there is of a run is counted in a row of its own, so that a line costs the same however many there are. What is
// above the bound is counted alone, and the line with which it is reached says so.
const WRITE = `
WITH o AS (
  SELECT * FROM unnest($1::text[], $2::text[], $3::int[], $4::int[], $5::text[], $6::text[], $7::jsonb[], $8::float8[], $9::int[])
    WITH ORDINALITY AS o(run_id, action_id, epoch, attempt, level, message, fields, at_ms, bytes, n)
  WHERE EXISTS (SELECT FROM run r WHERE r.id = o.run_id)
), sums AS (
  SELECT coalesce(s.run_id, d.run_id) AS run_id, coalesce(s.lines, 0) AS lines, coalesce(s.bytes, 0) AS bytes, coalesce(d.dropped, 0) AS dropped
  FROM (SELECT run_id, count(*)::int AS lines, sum(bytes)::int AS bytes FROM o GROUP BY run_id) s
  FULL JOIN (
    SELECT * FROM unnest($10::text[], $11::int[]) AS d(run_id, dropped) WHERE EXISTS (SELECT FROM run r WHERE r.id = d.run_id)
  ) d ON d.run_id = s.run_id
), w AS (
  INSERT INTO run_log AS t (run_id, lines, bytes, dropped)
  SELECT run_id, lines, bytes, dropped FROM sums ORDER BY run_id
  ON CONFLICT (run_id) DO UPDATE SET
    lines = CASE WHEN ${full('t')} THEN t.lines ELSE t.lines + EXCLUDED.lines END,
    bytes = CASE WHEN ${full('t')} THEN t.bytes ELSE t.bytes + EXCLUDED.bytes END,
    dropped = least(t.dropped::bigint + EXCLUDED.dropped + CASE WHEN ${full('t')} THEN EXCLUDED.lines ELSE 0 END, 2147483647)::int
  RETURNING t.run_id, t.lines, t.bytes
), kept AS (
  SELECT w.run_id, ${full('w')} AS reached
  FROM w JOIN sums s ON s.run_id = w.run_id
  -- Nothing was added to what was full before.
  LEFT JOIN run_log b ON b.run_id = w.run_id
  WHERE s.lines > 0 AND (b.run_id IS NULL OR NOT (${full('b')}))
)
INSERT INTO task_log (run_id, action_id, epoch, attempt, level, message, fields, at)
SELECT run_id, action_id, epoch, attempt, level, message, fields, at FROM (
  SELECT o.run_id, o.action_id, o.epoch, o.attempt, o.level, o.message, o.fields, to_timestamp(o.at_ms / 1000) AS at, o.n
  FROM o JOIN kept k ON k.run_id = o.run_id
  UNION ALL
  SELECT last.run_id, last.action_id, last.epoch, last.attempt, 'warn', $12, NULL, to_timestamp(last.at_ms / 1000), last.n + 1
  FROM kept k CROSS JOIN LATERAL (SELECT * FROM o WHERE o.run_id = k.run_id ORDER BY o.n DESC LIMIT 1) last WHERE k.reached
) l ORDER BY n`;

function full(row: string): string {
  return `${row}.lines >= ${MAX_LINES} OR ${row}.bytes >= ${MAX_BYTES}`;
}

const REACHED = `what this execution logs from here is not kept: an execution may log ${MAX_LINES} lines and ${MAX_BYTES / 1024 / 1024} MB`;

/** What a line costs beside its texts. */
const LINE_BYTES = 64;

export function createTaskLogStore(pool: pg.Pool): TaskLogStore {
  return {
    async write(lines, dropped) {
      const column = <T>(pick: (line: TaskLine) => T): T[] => lines.map(pick);
      await pool.query({
        name: 'write-task-logs',
        text: WRITE,
        values: [
          column((l) => l.runId),
          column((l) => l.actionId),
          column((l) => l.epoch),
          column((l) => l.attempt),
          column((l) => l.level),
          column((l) => textPayload(l.message, l.tenantId)),
          column((l) => payload(l.fields, l.tenantId)),
          column((l) => l.atMs),
          column((l) => Buffer.byteLength(l.message) + Buffer.byteLength(l.fields ?? '') + LINE_BYTES),
          [...dropped.keys()],
          [...dropped.values()],
          REACHED,
        ],
      });
    },
  };
}

// $1 run, $2 action, $3 levels, $4 attempt, $5 with events, $6 at, $7 kind, $8 id, $9 how many.
const READ = `
SELECT * FROM (
  SELECT 0 AS kind, id, action_id, epoch, attempt, level, ${readText('message')} AS message, fields, at FROM task_log
  WHERE run_id = $1 AND ($2::text IS NULL OR action_id = $2) AND level = ANY ($3::text[]) AND ($4::int IS NULL OR attempt = $4)
  UNION ALL
  SELECT 1, id, action_id, epoch, attempt, NULL, to_jsonb(kind), data, at FROM event
  WHERE $5::bool AND run_id = $1 AND ($2::text IS NULL OR action_id = $2) AND ($4::int IS NULL OR attempt = $4)
) l WHERE $6::timestamptz IS NULL OR (at, kind, id) > ($6, $7::int, $8::bigint)
ORDER BY at, kind, id LIMIT $9`;

interface RawEntry {
  kind: number;
  id: string;
  action_id: string | null;
  epoch: number;
  attempt: number | null;
  level: LogLevel | null;
  message: string;
  fields: Json;
  at: Date;
}

export function createLogReader(pool: pg.Pool): LogReader {
  return {
    async page(tenantId, runId, { actionId, levels, attempt, events }, { limit, after }) {
      const run = await pool.query<{ dropped: number }>(
        `SELECT coalesce(l.dropped, 0) AS dropped FROM run r LEFT JOIN run_log l ON l.run_id = r.id WHERE r.id = $2 AND r.tenant_id = $1`,
        [tenantId, runId],
      );
      const [found] = run.rows;
      if (found === undefined) return undefined;
      const place = [after?.at ?? null, after?.kind ?? null, after?.id ?? null];
      const { rows } = await pool.query<RawEntry>(READ, [
        ...[runId, actionId ?? null, levels, attempt ?? null, events],
        ...[...place, limit + 1],
      ]);
      return { entries: rows.slice(0, limit).map(toEntry), more: rows.length > limit, dropped: found.dropped };
    },
  };
}

function toEntry({ kind, id, action_id: actionId, epoch, attempt, level, message, fields, at }: RawEntry): LogEntry {
  const place = { at, kind, id };
  // Both are written as objects, where they are written at all.
  return { position: place, actionId, epoch, attempt, level, message, fields: fields as JsonObject | null, at };
}
