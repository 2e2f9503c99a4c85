-- What was there before its triggers were; beside the traffic, which fills in its own.
SELECT index_workflow(id) FROM workflow w
WHERE deleted_at IS NULL AND NOT EXISTS (SELECT 1 FROM workflow_search s WHERE s.workflow_id = w.id);
