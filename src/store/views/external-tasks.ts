/** External tasks beside the tasks of an execution, for whoever looks at it. */
import type pg from 'pg';
import type { ExternalTaskView } from '../../schemas/external-tasks.ts';

// An attempt that nobody waits for any more is closed by whoever meets it; until then it is only shown so.
const NEWEST = `
SELECT DISTINCT ON (e.action_id) e.action_id, e.id, e.topic, e.worker_id, e.deliveries, e.lease_until, e.deadline_at, e.progress,
  CASE WHEN e.status IN ('available', 'leased') AND (r.final OR r.epoch <> e.epoch) THEN 'closed' ELSE e.status END AS status
FROM external_task e JOIN run r ON r.id = e.run_id
WHERE e.run_id = $1 ORDER BY e.action_id, e.epoch DESC, e.attempt DESC`;

interface RawView {
  action_id: string;
  id: string;
  topic: string;
  status: ExternalTaskView['status'];
  worker_id: string | null;
  deliveries: number;
  lease_until: Date | null;
  deadline_at: Date;
  progress: ExternalTaskView['progress'];
}

/** The newest attempt of each external task of a run, by action. */
export async function externalTasksOf(pool: pg.Pool, runId: string): Promise<ReadonlyMap<string, ExternalTaskView>> {
  const { rows } = await pool.query<RawView>({ name: 'external-tasks-of-run', text: NEWEST, values: [runId] });
  return new Map(
    rows.map((raw) => [
      raw.action_id,
      {
        task_id: raw.id,
        topic: raw.topic,
        status: raw.status,
        worker_id: raw.worker_id,
        deliveries: raw.deliveries,
        lease_expires_at: raw.lease_until?.toISOString() ?? null,
        deadline: raw.deadline_at.toISOString(),
        progress: raw.progress,
      },
    ]),
  );
}
