DROP INDEX CONCURRENTLY IF EXISTS "run_sleeps_until";
CREATE INDEX CONCURRENTLY "run_sleeps_until" ON "run"("sleeps_until") WHERE (status = 'waiting'::text AND left_queue AND sleeps_until IS NOT NULL);
