DROP INDEX CONCURRENTLY IF EXISTS "run_live_by_tenant";
CREATE INDEX CONCURRENTLY "run_live_by_tenant" ON "run"("tenant_id") WHERE (NOT final);
