/** How the newest executions of one workflow ended, and the parts of such counts. */

import type pg from 'pg';
import { FAILED_RUNS } from '../../domain/runs/run-states.ts';
import type { StatisticsOfWorkflow } from '../../engine/ports/read-models.ts';
import { sqlList } from '../core/states.ts';

const RECENT_EXECUTIONS = 10_000;
const FAILED = sqlList(FAILED_RUNS);

export const COUNTED = `
count(*)::int AS n, (count(*) FILTER (WHERE status = 'completed'))::int AS completed,
(count(*) FILTER (WHERE status IN ${FAILED}))::int AS failed`;

const OF_WORKFLOW = `
SELECT ${COUNTED}, (avg(ms) FILTER (WHERE status = 'completed')) AS average, max(created_at) AS newest
FROM (SELECT status, created_at, extract(epoch FROM finished_at - started_at)::float8 * 1000 AS ms
      FROM run WHERE tenant_id = $1 AND workflow_id = $2
      ORDER BY created_at DESC, id DESC LIMIT ${RECENT_EXECUTIONS}) r`;

export interface Counts {
  n: number;
  completed: number;
  failed: number;
}

const NOTHING = { n: 0, completed: 0, failed: 0, average: null, newest: null };

export function createStatisticsOfWorkflow(pool: pg.Pool): StatisticsOfWorkflow {
  return async (tenantId, workflowId) => {
    const { rows } = await pool.query<Counts & { average: number | null; newest: Date | null }>(OF_WORKFLOW, [
      tenantId,
      workflowId,
    ]);
    const { n, completed, failed, average, newest } = rows[0] ?? NOTHING;
    return {
      total: n,
      completed,
      failed,
      successRate: successRate({ completed, failed }),
      averageSeconds: seconds(average),
      newestAt: newest,
    };
  };
}

export function successRate({ completed, failed }: Pick<Counts, 'completed' | 'failed'>): number | null {
  return share(completed, completed + failed);
}

export function share(part: number, whole: number): number | null {
  return whole === 0 ? null : Math.round((part / whole) * 10_000) / 10_000;
}

export function seconds(ms: number | null): number | null {
  return ms === null ? null : Math.round(ms) / 1000;
}
