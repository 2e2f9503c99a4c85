DROP INDEX CONCURRENTLY IF EXISTS "run_child";
CREATE UNIQUE INDEX CONCURRENTLY "run_child" ON "run"("parent_run_id", "parent_action_id", "parent_epoch", "parent_attempt") WHERE (parent_run_id IS NOT NULL);
