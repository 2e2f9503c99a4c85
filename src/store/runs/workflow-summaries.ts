/** What lists show of a workflow, for `workflow w` with its current version as `v`: the columns of a `WorkflowSummary`. */

/** To count a million executions for each line of a list would take its time. */
const EXECUTIONS_COUNTED = 10_000;

export const SUMMARY_COLUMNS = `
w.id, w.name, w.description, w.current_version AS version, w.status, w.tags,
jsonb_array_length(v.definition -> 'parameters') AS parameters,
jsonb_array_length(v.definition -> 'actions') AS actions,
(SELECT count(*)::int FROM (SELECT 1 FROM run r WHERE r.tenant_id = w.tenant_id AND r.workflow_id = w.id
                            LIMIT ${EXECUTIONS_COUNTED}) counted) AS runs,
w.created_by AS "createdBy", w.created_at AS "createdAt", w.updated_at AS "updatedAt"`;
