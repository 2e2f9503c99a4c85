/**
 * Numbers about workflows. Every statement is bounded: by the window, by the tenant, and by so many of the newest
 * executions. Times are those of the database's clock.
 */

import type pg from 'pg';
import { systemAlias } from '../../domain/definition/system-workflow.ts';
import { EXECUTED_TASKS } from '../../domain/runs/run-states.ts';
import { sqlList } from '../../store/core/states.ts';
import { COUNTED } from '../../store/views/execution-statistics.ts';
import type { ExecutionGroup, StatisticsReader, TaskGroup } from './ports.ts';

const MAX_EXECUTIONS = 100_000;
const MAX_EXECUTIONS_WITH_TASKS = 20_000;
const MAX_WORKFLOWS = 50;
const MAX_TAGS = 10;

/** As in the list of workflows: those of the service itself are left out, their executions are not. */
const OF_USERS = `NOT starts_with(id, '${systemAlias('')}')`;

// The one task of a single-task run is not counted here: it belongs to no workflow.
const RUNS = `
SELECT id, workflow_id, status, extract(epoch FROM finished_at - started_at)::float8 * 1000 AS ms
FROM run WHERE tenant_id = $1 AND workflow_id IS NOT NULL AND created_at >= now() - make_interval(secs => $2::float8)
ORDER BY created_at DESC, id DESC`;

const DURATIONS = `
count(ms)::int AS measured, avg(ms) AS average, max(ms) AS longest,
percentile_cont(ARRAY[0.5, 0.9, 0.95, 0.99]) WITHIN GROUP (ORDER BY ms) AS percentiles`;

const EXECUTIONS = `
WITH runs AS MATERIALIZED (${RUNS} LIMIT ${MAX_EXECUTIONS + 1})
SELECT grouping(workflow_id) AS whole, workflow_id AS "workflowId",
       (SELECT w.name FROM workflow w WHERE w.id = workflow_id) AS name, ${COUNTED}, ${DURATIONS}
FROM (SELECT * FROM runs LIMIT ${MAX_EXECUTIONS}) runs GROUP BY GROUPING SETS ((workflow_id), ())
ORDER BY whole DESC, n DESC, workflow_id LIMIT ${MAX_WORKFLOWS + 1}`;

const STATUSES = `
WITH runs AS MATERIALIZED (${RUNS} LIMIT ${MAX_EXECUTIONS + 1})
SELECT status, count(*)::int AS n FROM runs GROUP BY status ORDER BY status`;

const TASKS = `
WITH runs AS MATERIALIZED (${RUNS} LIMIT ${MAX_EXECUTIONS_WITH_TASKS})
SELECT grouping(action_type) AS whole, action_type AS "actionType", ${COUNTED}, (count(*) FILTER (WHERE tries > 1))::int AS retried, ${DURATIONS}
FROM (SELECT id FROM runs) runs CROSS JOIN LATERAL (
  SELECT t.action_type, t.status AS status, greatest(t.attempt, t.ended_attempt) AS tries,
         extract(epoch FROM t.finished_at - t.started_at)::float8 * 1000 AS ms
  FROM task t WHERE t.run_id = runs.id AND t.parent_id IS NULL AND t.final AND t.status IN ${sqlList(EXECUTED_TASKS)}
) AS ended(action_type, status, tries, ms)
GROUP BY GROUPING SETS ((action_type), ()) ORDER BY whole DESC, n DESC, action_type`;

const WORKFLOWS = `
SELECT count(*)::int AS total, (count(*) FILTER (WHERE status = 'active'))::int AS active, now() AS now
FROM workflow WHERE tenant_id = $1 AND deleted_at IS NULL AND ${OF_USERS}`;

const TAGS = `
SELECT tag, count(*)::int AS count FROM workflow, unnest(tags) AS tag
WHERE tenant_id = $1 AND deleted_at IS NULL AND ${OF_USERS} GROUP BY tag ORDER BY count DESC, tag LIMIT ${MAX_TAGS}`;

export function createStatisticsReader(pool: pg.Pool): StatisticsReader {
  return {
    async ofTenant(tenantId, windowSeconds) {
      const [executions, statuses, tasks, workflows, tags] = await Promise.all([
        pool.query<ExecutionGroup>(EXECUTIONS, [tenantId, windowSeconds]),
        pool.query<{ status: string; n: number }>(STATUSES, [tenantId, windowSeconds]),
        pool.query<TaskGroup>(TASKS, [tenantId, windowSeconds]),
        pool.query<{ total: number; active: number; now: Date }>(WORKFLOWS, [tenantId]),
        pool.query<{ tag: string; count: number }>(TAGS, [tenantId]),
      ]);
      const { total = 0, active = 0, now = new Date(0) } = workflows.rows[0] ?? {};
      return {
        workflows: { total, active },
        executions: executions.rows,
        statuses: statuses.rows,
        tasks: tasks.rows,
        tags: tags.rows,
        truncated: statuses.rows.reduce((sum, { n }) => sum + n, 0) > MAX_EXECUTIONS,
        at: now,
      };
    },
  };
}
