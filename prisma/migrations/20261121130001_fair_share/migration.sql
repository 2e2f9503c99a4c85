-- Runs that wait are taken by tenant, so that nobody waits for the backlog of another; delayed ones stand apart until they are due.
DROP INDEX "run_pending_in_order";

-- Of the runs of a workflow with one key only so many are under way; the others wait for a place.
ALTER TABLE "run" ADD COLUMN     "concurrency_key" TEXT,
ADD COLUMN     "concurrency_limit" INTEGER,
ADD COLUMN     "waits_for_slot" BOOLEAN;

CREATE INDEX "run_pending_by_tenant" ON "run"("tenant_id", "priority", "deadline_at", "created_at") WHERE (status = 'pending' AND due_at IS NULL AND waits_for_slot IS NULL);

CREATE INDEX "run_pending_due" ON "run"("due_at") WHERE (status = 'pending' AND due_at IS NOT NULL);

CREATE INDEX "run_waiting_for_slot" ON "run"("tenant_id", "workflow_id", "concurrency_key", "priority", "deadline_at", "created_at") WHERE (status = 'pending' AND due_at IS NULL AND waits_for_slot);

CREATE INDEX "run_holding_slot" ON "run"("tenant_id", "workflow_id", "concurrency_key") WHERE (concurrency_key IS NOT NULL AND waits_for_slot IS NULL AND NOT final);
