/** The items of a fan-out and the iterations of a loop: written down before they are added to the queue. */
import type pg from 'pg';
import { STANDING_TASKS, type TaskStatus } from '../../domain/runs/run-states.ts';
import type { LastIteration, PartStore } from '../../engine/ports/parts.ts';
import type { UncompletedTask } from '../../engine/ports/rows.ts';
import type { Json } from '../../schemas/json.ts';
import { createBatcher } from '../core/batch.ts';
import { sqlList } from '../core/states.ts';
import { untilItPasses } from '../core/transient.ts';
import { payload } from '../payloads/payloads.ts';

const ENDED_PER_STATEMENT = 200;

// The list is a durable decision: whoever comes second writes nothing, and finds the same list. The task itself gets a row
// with them, which whoever takes items locks.
const WRITE = `
INSERT INTO task (run_id, action_id, action_type, epoch, status, parent_id, position, item)
SELECT r.id, k.action_id, $4, r.epoch, 'pending', k.parent_id, k.position, k.item
FROM run r, (
  SELECT $3::text AS action_id, NULL::text AS parent_id, NULL::int AS position, NULL::jsonb AS item
  UNION ALL
  SELECT p.action_id, $3, p.position, p.item FROM unnest($5::text[], $6::int[], $7::jsonb[]) AS p(action_id, position, item)
) k
WHERE r.id = $1 AND r.epoch = $2 AND NOT r.final ORDER BY k.action_id
ON CONFLICT (run_id, action_id) DO NOTHING`;

const SUMMARY = `
SELECT s.*, f.position, f.error, CASE WHEN f.error IS NOT NULL THEN (SELECT tenant_id FROM run WHERE id = $1) END AS tenant_id FROM (
  SELECT count(*)::int AS total, count(*) FILTER (WHERE NOT final)::int AS open,
         count(*) FILTER (WHERE final AND status NOT IN ${sqlList(STANDING_TASKS)})::int AS failed,
         count(*) FILTER (WHERE final AND epoch = $3)::int AS ended,
         count(*) FILTER (WHERE status = 'completed' OR effect_unknown)::int AS happened
  FROM task WHERE run_id = $1 AND parent_id = $2
) s LEFT JOIN LATERAL (
  SELECT position, error FROM task WHERE run_id = $1 AND parent_id = $2 AND status = 'failed' ORDER BY finished_at, position LIMIT 1
) f ON true`;

// Whoever takes locks their parent task, so that two do not both fill the last free slot.
const TAKE = `
WITH whole AS MATERIALIZED (
  SELECT t.run_id FROM task t WHERE t.run_id = $1 AND t.action_id = $2 AND NOT t.final FOR NO KEY UPDATE
), busy AS (
  SELECT count(*) AS n FROM task t WHERE t.run_id = $1 AND t.parent_id = $2 AND NOT t.final AND t.released_at IS NOT NULL
), next AS (
  SELECT t.action_id FROM task t, whole w
  WHERE t.run_id = w.run_id AND t.parent_id = $2 AND NOT t.final AND t.released_at IS NULL
  ORDER BY t.position LIMIT greatest(0, $3::bigint - (SELECT n FROM busy))
)
UPDATE task t SET released_at = now() FROM next WHERE t.run_id = $1 AND t.action_id = next.action_id
RETURNING t.position`;

const ENDED = `
SELECT EXISTS (
  SELECT 1 FROM task t WHERE t.run_id = k.run_id AND t.parent_id = k.parent_id AND NOT t.final
) AS open
FROM unnest($1::text[], $2::text[]) WITH ORDINALITY AS k(run_id, parent_id, n) ORDER BY k.n`;

export function createPartStore(pool: pg.Pool): PartStore {
  const anyOpen = createBatcher<{ runId: string; parentId: string }, boolean>({
    maxItems: ENDED_PER_STATEMENT,
    async flush(parts) {
      const { rows } = await pool.query<{ open: boolean }>({
        name: 'parts-open',
        text: ENDED,
        values: [parts.map(({ runId }) => runId), parts.map(({ parentId }) => parentId)],
      });
      return rows.map(({ open }) => open);
    },
    retryAfter: untilItPasses,
  });

  return {
    async write({ runId, tenantId, epoch, parentId, actionType }, parts) {
      await pool.query({
        name: 'write-parts',
        text: WRITE,
        values: [
          runId,
          epoch,
          parentId,
          actionType,
          parts.map(({ id }) => id),
          parts.map(({ position }) => position),
          parts.map(({ item }) => payload(JSON.stringify(item), tenantId)),
        ],
      });
    },
    async summary(runId, parentId, epoch) {
      const { rows } = await pool.query<{
        total: number;
        open: number;
        failed: number;
        ended: number;
        happened: number;
        position: number | null;
        error: Json;
      }>({ name: 'parts-summary', text: SUMMARY, values: [runId, parentId, epoch] });
      const row = rows[0];
      if (row === undefined) throw new Error('an aggregate has one row');
      const { total, open, failed, ended, happened, position, error } = row;
      return {
        total,
        open,
        failed,
        ended,
        happened,
        firstFailure: position === null ? undefined : { position, error },
      };
    },
    async take(runId, parentId, atOnce) {
      const { rows } = await pool.query<{ position: number }>({
        name: 'take-parts',
        text: TAKE,
        values: [runId, parentId, atOnce],
      });
      return rows.map(({ position }) => position).sort((a, b) => a - b);
    },
    async released(runId, parentId) {
      const { rows } = await pool.query<{ position: number }>({
        name: 'released-parts',
        text: `SELECT position FROM task WHERE run_id = $1 AND parent_id = $2 AND NOT final AND released_at IS NOT NULL
               ORDER BY position`,
        values: [runId, parentId],
      });
      return rows.map(({ position }) => position);
    },
    async cancelUnreleased(runId, parentId) {
      await pool.query({
        name: 'cancel-parts',
        text: `UPDATE task SET status = 'cancelled', final = true, tolerated = true, finished_at = now(), updated_at = now()
               WHERE run_id = $1 AND parent_id = $2 AND NOT final AND released_at IS NULL`,
        values: [runId, parentId],
      });
    },
    async outputs(runId, parentId) {
      const { rows } = await pool.query<{ output: Json }>({
        name: 'part-outputs',
        text: `SELECT CASE WHEN status = 'completed' THEN output END AS output, (SELECT tenant_id FROM run WHERE id = $1) AS tenant_id FROM task
               WHERE run_id = $1 AND parent_id = $2 ORDER BY position`,
        values: [runId, parentId],
      });
      return rows.map(({ output }) => output);
    },
    async last(runId, parentId) {
      const { rows } = await pool.query<RawLastIteration>({
        name: 'last-part',
        text: `SELECT position, status, final, output, error, (SELECT tenant_id FROM run WHERE id = $1) AS tenant_id FROM task
               WHERE run_id = $1 AND parent_id = $2 ORDER BY position DESC LIMIT 1`,
        values: [runId, parentId],
      });
      const [row] = rows;
      return row === undefined ? undefined : toLastIteration(row);
    },
    anyOpen: (runId, parentId) => anyOpen({ runId, parentId }),
  };
}

interface RawLastIteration {
  position: number;
  status: TaskStatus;
  final: boolean;
  output: Json;
  error: Json;
}

function toLastIteration(row: RawLastIteration): LastIteration {
  const { position, status, output, error } = row;
  if (!row.final) return { position, final: false };
  if (status === 'completed') return { position, final: true, status, output };
  return { position, final: true, status: status as UncompletedTask['status'], error }; // As `toTaskRow` has it.
}
