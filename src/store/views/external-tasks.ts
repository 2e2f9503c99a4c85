/** External tasks beside the tasks of an execution, for whoever looks at it. */
import type pg from 'pg';
import type { ExternalTaskView } from '../../engine/ports/run-views.ts';

// An attempt that nobody waits for any more is closed by whoever meets it; until then it is only shown so.
const NEWEST = `
SELECT DISTINCT ON (e.action_id) e.action_id AS "actionId", e.id, e.topic, e.worker_id AS "workerId", e.deliveries,
  e.lease_until AS "leaseUntil", e.deadline_at AS "deadlineAt", e.progress,
  CASE WHEN e.status IN ('available', 'leased') AND (r.final OR r.epoch <> e.epoch) THEN 'closed' ELSE e.status END AS status
FROM external_task e JOIN run r ON r.id = e.run_id
WHERE e.run_id = $1 ORDER BY e.action_id, e.epoch DESC, e.attempt DESC`;

/** The newest attempt of each external task of a run, by action. */
export async function externalTasksOf(pool: pg.Pool, runId: string): Promise<ReadonlyMap<string, ExternalTaskView>> {
  const { rows } = await pool.query<ExternalTaskView & { actionId: string }>({
    name: 'external-tasks-of-run',
    text: NEWEST,
    values: [runId],
  });
  return new Map(rows.map(({ actionId, ...view }) => [actionId, view]));
}
