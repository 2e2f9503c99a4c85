-- The dispatcher takes what waits by priority and age; without an order in the index it sorted the whole backlog for each page.
CREATE INDEX "run_pending_in_order" ON "run"("priority", "created_at") WHERE (status = 'pending');
DROP INDEX "run_pending";
