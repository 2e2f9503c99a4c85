DROP INDEX CONCURRENTLY IF EXISTS "run_sleeps_by_tenant";
CREATE INDEX CONCURRENTLY "run_sleeps_by_tenant" ON "run"("tenant_id", "sleeps_until") WHERE (status = 'waiting'::text AND left_queue AND sleeps_until IS NOT NULL);
