/**
 * Numbers about workflows. Every statement is bounded: by the window, by the tenant, and by so many of the newest
 * executions. Times are those of the database's clock.
 */

import type pg from 'pg';
import { systemAlias } from '../../domain/definition/system-workflow.ts';
import { EXECUTED_TASKS } from '../../domain/runs/run-states.ts';
import { sqlList } from '../../store/core/states.ts';
import { COUNTED, type Counts, seconds, share, successRate } from '../../store/views/execution-statistics.ts';
import type { StatisticsReader } from './ports.ts';
import type { Durations, WorkflowStatistics } from './schemas.ts';

const MAX_EXECUTIONS = 100_000;
const MAX_EXECUTIONS_WITH_TASKS = 20_000;
const MAX_WORKFLOWS = 50;
const MOST_ACTIVE = 5;
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
SELECT grouping(workflow_id) AS whole, workflow_id,
       (SELECT w.name FROM workflow w WHERE w.id = workflow_id) AS name, ${COUNTED}, ${DURATIONS}
FROM (SELECT * FROM runs LIMIT ${MAX_EXECUTIONS}) runs GROUP BY GROUPING SETS ((workflow_id), ())
ORDER BY whole DESC, n DESC, workflow_id LIMIT ${MAX_WORKFLOWS + 1}`;

const STATUSES = `
WITH runs AS MATERIALIZED (${RUNS} LIMIT ${MAX_EXECUTIONS + 1})
SELECT status, count(*)::int AS n FROM runs GROUP BY status ORDER BY status`;

const TASKS = `
WITH runs AS MATERIALIZED (${RUNS} LIMIT ${MAX_EXECUTIONS_WITH_TASKS})
SELECT grouping(action_type) AS whole, action_type, ${COUNTED}, (count(*) FILTER (WHERE tries > 1))::int AS retried, ${DURATIONS}
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

interface Measured {
  measured: number;
  average: number | null;
  longest: number | null;
  percentiles: Array<number | null> | null;
}
type ExecutionGroup = Counts & Measured & { whole: number; workflow_id: string | null; name: string | null };
type TaskGroup = Counts & Measured & { whole: number; action_type: string | null; retried: number };

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
      const all = executions.rows.find(({ whole }) => whole === 1);
      const allTasks = tasks.rows.find(({ whole }) => whole === 1);
      const byWorkflow = executions.rows.flatMap((group) => (group.workflow_id === null ? [] : [useOf(group)]));
      const { total = 0, active = 0, now = new Date(0) } = workflows.rows[0] ?? {};
      const counts = all ?? { n: 0, completed: 0, failed: 0 };
      const seen = statuses.rows.reduce((sum, { n }) => sum + n, 0);
      return {
        total_workflows: total,
        active_workflows: active,
        total_executions: counts.n,
        successful_executions: counts.completed,
        failed_executions: counts.failed,
        average_execution_time: seconds(all?.average ?? null),
        success_rate: successRate(counts),
        retry_rate: share(allTasks?.retried ?? 0, allTasks?.n ?? 0),
        executions_by_status: Object.fromEntries(statuses.rows.map(({ status, n }) => [status, n])),
        execution_duration_ms: durationsOf(all),
        task_duration_ms: durationsOf(allTasks),
        by_workflow: byWorkflow,
        by_action_type: tasks.rows.flatMap(({ action_type, ...group }) =>
          action_type === null
            ? []
            : [
                {
                  action_type,
                  tasks: group.n,
                  completed: group.completed,
                  failed: group.failed,
                  retried: group.retried,
                  success_rate: successRate(group),
                  retry_rate: share(group.retried, group.n),
                  duration_ms: durationsOf(group),
                },
              ],
        ),
        popular_tags: tags.rows,
        truncated: seen > MAX_EXECUTIONS,
        summary: {
          workflows: total,
          executions: counts.n,
          success_rate: successRate(counts),
          most_active_workflows: byWorkflow
            .slice(0, MOST_ACTIVE)
            .map(({ workflow_id, name, executions: n }) => ({ workflow_id, name, executions: n })),
        },
        generated_at: now.toISOString(),
      };
    },
  };
}

function useOf(group: ExecutionGroup): WorkflowStatistics['by_workflow'][number] {
  return {
    workflow_id: group.workflow_id ?? '',
    name: group.name ?? '',
    executions: group.n,
    successful_executions: group.completed,
    failed_executions: group.failed,
    success_rate: successRate(group),
    duration_ms: durationsOf(group),
  };
}

function durationsOf(group: Measured | undefined): Durations {
  const [p50 = null, p90 = null, p95 = null, p99 = null] = group?.percentiles ?? [];
  return {
    count: group?.measured ?? 0,
    average: rounded(group?.average ?? null),
    p50: rounded(p50),
    p90: rounded(p90),
    p95: rounded(p95),
    p99: rounded(p99),
    max: rounded(group?.longest ?? null),
  };
}

function rounded(ms: number | null): number | null {
  return ms === null ? null : Math.round(ms * 10) / 10;
}
