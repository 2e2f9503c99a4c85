DROP INDEX CONCURRENTLY IF EXISTS "run_finished_at_by_setting";
CREATE INDEX CONCURRENTLY "run_finished_at_by_setting" ON "run"("finished_at") WHERE (final AND retention_days IS NULL);
