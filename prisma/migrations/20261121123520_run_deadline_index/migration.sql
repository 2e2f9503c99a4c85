DROP INDEX CONCURRENTLY IF EXISTS "run_deadline_at";
CREATE INDEX CONCURRENTLY "run_deadline_at" ON "run"("deadline_at") WHERE (deadline_at IS NOT NULL AND NOT final);
