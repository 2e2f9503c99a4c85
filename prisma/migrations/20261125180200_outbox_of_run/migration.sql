DROP INDEX CONCURRENTLY IF EXISTS "flow_outbox_run_id_id_idx";
CREATE INDEX CONCURRENTLY "flow_outbox_run_id_id_idx" ON "flow_outbox"("run_id", "id");
