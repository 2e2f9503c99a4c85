DROP INDEX CONCURRENTLY IF EXISTS "run_open_child";
CREATE INDEX CONCURRENTLY "run_open_child" ON "run"("depth", "status") WHERE (depth IS NOT NULL AND NOT final);
