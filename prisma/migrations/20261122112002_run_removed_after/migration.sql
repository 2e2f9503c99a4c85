DROP INDEX CONCURRENTLY IF EXISTS "run_removed_after";
CREATE INDEX CONCURRENTLY "run_removed_after" ON "run"((("finished_at" AT TIME ZONE 'UTC') + make_interval(days => "retention_days"))) WHERE (final AND retention_days IS NOT NULL);
