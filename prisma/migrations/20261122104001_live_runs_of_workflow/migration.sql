DROP INDEX CONCURRENTLY IF EXISTS "run_live_of_workflow";
CREATE INDEX CONCURRENTLY "run_live_of_workflow" ON "run"("tenant_id", "workflow_id", "id") WHERE (NOT final AND workflow_id IS NOT NULL);
