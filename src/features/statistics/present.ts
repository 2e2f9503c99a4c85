/** Numbers about workflows, as JSON. */
import { seconds, share, successRate } from '../../store/views/execution-statistics.ts';
import type { ExecutionGroup, Measured, TaskGroup, TenantStatistics } from './ports.ts';
import type { Durations, WorkflowStatistics } from './schemas.ts';

const MOST_ACTIVE = 5;

export function statisticsJson(numbers: TenantStatistics, windowSeconds: number): WorkflowStatistics {
  const { workflows, executions, tasks, at } = numbers;
  const all = executions.find(({ whole }) => whole === 1);
  const allTasks = tasks.find(({ whole }) => whole === 1);
  const counts = all ?? { n: 0, completed: 0, failed: 0 };
  const byWorkflow = executions.flatMap((group) => (group.workflowId === null ? [] : [useOf(group)]));
  return {
    window: {
      seconds: windowSeconds,
      from: new Date(at.getTime() - windowSeconds * 1000).toISOString(),
      to: at.toISOString(),
    },
    total_workflows: workflows.total,
    active_workflows: workflows.active,
    total_executions: counts.n,
    successful_executions: counts.completed,
    failed_executions: counts.failed,
    average_execution_time: seconds(all?.average ?? null),
    success_rate: successRate(counts),
    retry_rate: share(allTasks?.retried ?? 0, allTasks?.n ?? 0),
    executions_by_status: Object.fromEntries(numbers.statuses.map(({ status, n }) => [status, n])),
    execution_duration_ms: durationsOf(all),
    task_duration_ms: durationsOf(allTasks),
    by_workflow: byWorkflow,
    by_action_type: tasks.flatMap((group) => (group.actionType === null ? [] : [typeOf(group.actionType, group)])),
    popular_tags: numbers.tags,
    truncated: numbers.truncated,
    summary: {
      workflows: workflows.total,
      executions: counts.n,
      success_rate: successRate(counts),
      most_active_workflows: byWorkflow
        .slice(0, MOST_ACTIVE)
        .map(({ workflow_id, name, executions: n }) => ({ workflow_id, name, executions: n })),
    },
    generated_at: at.toISOString(),
  };
}

function typeOf(actionType: string, group: TaskGroup): WorkflowStatistics['by_action_type'][number] {
  return {
    action_type: actionType,
    tasks: group.n,
    completed: group.completed,
    failed: group.failed,
    retried: group.retried,
    success_rate: successRate(group),
    retry_rate: share(group.retried, group.n),
    duration_ms: durationsOf(group),
  };
}

function useOf(group: ExecutionGroup): WorkflowStatistics['by_workflow'][number] {
  return {
    workflow_id: group.workflowId ?? '',
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
