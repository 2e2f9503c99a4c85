-- What somebody asked to be done to all live runs of a workflow. It is written with the change of the workflow itself, and
-- carried out in pages by whoever has its lease.
CREATE TABLE "control_operation" (
    "id" TEXT NOT NULL,
    "tenant_id" TEXT NOT NULL,
    "workflow_id" TEXT NOT NULL,
    "kind" TEXT NOT NULL,
    "status" TEXT NOT NULL DEFAULT 'pending',
    "reason" TEXT,
    "requested_by" TEXT NOT NULL,
    "total" INTEGER NOT NULL,
    "done" INTEGER NOT NULL DEFAULT 0,
    "skipped" INTEGER NOT NULL DEFAULT 0,
    "failed" INTEGER NOT NULL DEFAULT 0,
    "after" TEXT NOT NULL DEFAULT '',
    "tries" INTEGER NOT NULL DEFAULT 0,
    "error" TEXT,
    "lease" TEXT,
    "lease_until" TIMESTAMPTZ(3),
    "due_at" TIMESTAMPTZ(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,
    "requested_at" TIMESTAMPTZ(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,
    "finished_at" TIMESTAMPTZ(3),
    "expires_at" TIMESTAMPTZ(3) NOT NULL,

    CONSTRAINT "control_operation_pkey" PRIMARY KEY ("id")
);

-- CreateIndex
CREATE INDEX "control_operation_due" ON "control_operation"("due_at") WHERE (finished_at IS NULL);

-- CreateIndex
CREATE INDEX "control_operation_tenant_id_workflow_id_idx" ON "control_operation"("tenant_id", "workflow_id");

-- CreateIndex
CREATE INDEX "control_operation_expires_at_idx" ON "control_operation"("expires_at");
