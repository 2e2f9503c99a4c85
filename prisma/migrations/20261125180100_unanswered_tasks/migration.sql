DROP INDEX CONCURRENTLY IF EXISTS "external_task_unanswered";
CREATE INDEX CONCURRENTLY "external_task_unanswered" ON "external_task"("published_at") WHERE (by_message AND status = 'leased' AND published_at IS NOT NULL);
