DROP INDEX CONCURRENTLY IF EXISTS "flow_outbox_without_task";
CREATE INDEX CONCURRENTLY "flow_outbox_without_task" ON "flow_outbox"("id") WHERE (external_task_id IS NULL);
