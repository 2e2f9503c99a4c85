DROP INDEX CONCURRENTLY IF EXISTS "run_waiting_in_queue";
CREATE INDEX CONCURRENTLY "run_waiting_in_queue" ON "run"("asleep", "check_at") WHERE (status = 'waiting'::text AND left_queue IS NULL);
