-- CreateTable
CREATE TABLE "external_task" (
    "id" TEXT NOT NULL,
    "run_id" TEXT NOT NULL,
    "action_id" TEXT NOT NULL,
    "epoch" INTEGER NOT NULL,
    "attempt" INTEGER NOT NULL,
    "tenant_id" TEXT NOT NULL,
    "topic" TEXT NOT NULL,
    "priority" INTEGER NOT NULL,
    "input" JSONB NOT NULL,
    "status" TEXT NOT NULL,
    "deliveries" INTEGER NOT NULL DEFAULT 0,
    "lease_token" TEXT,
    "worker_id" TEXT,
    "lease_seconds" DOUBLE PRECISION,
    "lease_until" TIMESTAMPTZ(3),
    "deadline_at" TIMESTAMPTZ(3) NOT NULL,
    "progress" JSONB,
    "output" JSONB,
    "error" JSONB,
    "created_at" TIMESTAMPTZ(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,
    "ended_at" TIMESTAMPTZ(3),

    CONSTRAINT "external_task_pkey" PRIMARY KEY ("id")
);

-- CreateIndex
CREATE INDEX "external_task_available" ON "external_task"("tenant_id", "topic", "priority", "created_at", "id") WHERE (status = 'available');

-- CreateIndex
CREATE INDEX "external_task_leased" ON "external_task"("tenant_id", "topic", "lease_until") WHERE (status = 'leased');

-- CreateIndex
CREATE UNIQUE INDEX "external_task_run_id_action_id_epoch_attempt_key" ON "external_task"("run_id", "action_id", "epoch", "attempt");
