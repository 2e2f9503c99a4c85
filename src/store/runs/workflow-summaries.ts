/** What lists show of a workflow, for `workflow w` with its current version as `v`. */
import type { WorkflowStatus } from '../../engine/ports/read-models.ts';
import type { WorkflowSummary } from '../../schemas/workflow-answers.ts';

/** To count a million executions for each line of a list would take its time. */
const EXECUTIONS_COUNTED = 10_000;

export const SUMMARY_COLUMNS = `
w.id AS workflow_id, w.name, w.description, w.current_version AS version, w.status, w.tags,
jsonb_array_length(v.definition -> 'parameters') AS parameters_count,
jsonb_array_length(v.definition -> 'actions') AS actions_count,
(SELECT count(*)::int FROM (SELECT 1 FROM run r WHERE r.tenant_id = w.tenant_id AND r.workflow_id = w.id
                            LIMIT ${EXECUTIONS_COUNTED}) counted) AS total_executions,
w.created_by, w.created_at, w.updated_at`;

export interface SummaryRow {
  workflow_id: string;
  name: string;
  description: string | null;
  version: number;
  status: WorkflowStatus;
  tags: string[];
  parameters_count: number;
  actions_count: number;
  total_executions: number;
  created_by: string;
  created_at: Date;
  updated_at: Date;
}

export function summaryOf(row: SummaryRow): WorkflowSummary {
  return {
    workflow_id: row.workflow_id,
    name: row.name,
    description: row.description,
    version: row.version,
    status: row.status,
    tags: row.tags,
    parameters_count: row.parameters_count,
    actions_count: row.actions_count,
    total_executions: row.total_executions,
    created_by: row.created_by,
    created_at: row.created_at.toISOString(),
    updated_at: row.updated_at.toISOString(),
  };
}
