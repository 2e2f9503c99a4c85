DROP INDEX CONCURRENTLY IF EXISTS "incoming_event_due_by_tenant";
CREATE INDEX CONCURRENTLY "incoming_event_due_by_tenant" ON "incoming_event"("tenant_id", "due_at") WHERE (due_at IS NOT NULL);
