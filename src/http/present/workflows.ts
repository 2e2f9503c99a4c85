/** Workflows as lists show them, their versions, and how their executions ended. */

import { isoText } from '../../domain/texts/iso-text.ts';
import type { RunCounts, WorkflowSummary, WorkflowVersion } from '../../engine/ports/read-models.ts';
import type * as answers from '../../schemas/workflow-answers.ts';

export function presentWorkflowSummary(workflow: WorkflowSummary): answers.WorkflowSummary {
  const { id, name, description, version, status, tags, parameters, actions, runs } = workflow;
  return {
    workflow_id: id,
    ...{ name, description, version, status, tags },
    parameters_count: parameters,
    actions_count: actions,
    total_executions: runs,
    created_by: workflow.createdBy,
    created_at: isoText(workflow.createdAt),
    updated_at: isoText(workflow.updatedAt),
  };
}

export function presentVersion(one: WorkflowVersion): answers.WorkflowVersionSummary {
  const { version, runs, completed, failed, name, description } = one;
  return {
    ...{ version, runs, completed, failed, name, description },
    actions_count: one.actions,
    created_by: one.createdBy,
    created_at: isoText(one.createdAt),
    current: one.isCurrent,
    canary_percent: one.canaryPercent,
    success_rate: completed + failed === 0 ? null : completed / (completed + failed),
  };
}

export function presentRunCounts(counts: RunCounts): answers.ExecutionStatistics {
  return {
    total_executions: counts.total,
    successful_executions: counts.completed,
    failed_executions: counts.failed,
    success_rate: counts.successRate,
    average_execution_time: counts.averageSeconds,
    last_execution_at: isoText(counts.newestAt),
  };
}
