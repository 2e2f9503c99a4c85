-- CreateTable
CREATE TABLE "workflow" (
    "id" TEXT NOT NULL,
    "tenant_id" TEXT NOT NULL,
    "name" TEXT NOT NULL,
    "description" TEXT,
    "status" TEXT NOT NULL DEFAULT 'active',
    "tags" TEXT[] DEFAULT ARRAY[]::TEXT[],
    "current_version" INTEGER NOT NULL DEFAULT 1,
    "created_by" TEXT NOT NULL,
    "created_at" TIMESTAMPTZ(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,
    "updated_at" TIMESTAMPTZ(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,
    "deleted_at" TIMESTAMPTZ(3),

    CONSTRAINT "workflow_pkey" PRIMARY KEY ("id")
);

-- CreateTable
CREATE TABLE "workflow_version" (
    "workflow_id" TEXT NOT NULL,
    "version" INTEGER NOT NULL,
    "definition" JSONB NOT NULL,
    "created_by" TEXT NOT NULL,
    "created_at" TIMESTAMPTZ(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,

    CONSTRAINT "workflow_version_pkey" PRIMARY KEY ("workflow_id","version")
);

-- CreateTable
CREATE TABLE "run" (
    "id" TEXT NOT NULL,
    "tenant_id" TEXT NOT NULL,
    "workflow_id" TEXT,
    "workflow_version" INTEGER,
    "inline" JSONB,
    "epoch" INTEGER NOT NULL DEFAULT 1,
    "gen" INTEGER NOT NULL DEFAULT 0,
    "status" TEXT NOT NULL DEFAULT 'pending',
    "final" BOOLEAN NOT NULL DEFAULT false,
    "parameters" JSONB NOT NULL,
    "output" JSONB,
    "error" JSONB,
    "priority" INTEGER NOT NULL DEFAULT 50,
    "correlation_id" TEXT,
    "trace_id" TEXT,
    "user_id" TEXT NOT NULL,
    "idempotency_key" TEXT,
    "request_hash" TEXT,
    "cancel_reason" TEXT,
    "callback_url" TEXT,
    "callback_attempts" INTEGER NOT NULL DEFAULT 0,
    "callback_due_at" TIMESTAMPTZ(3),
    "due_at" TIMESTAMPTZ(3),
    "check_at" TIMESTAMPTZ(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,
    "created_at" TIMESTAMPTZ(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,
    "started_at" TIMESTAMPTZ(3),
    "finished_at" TIMESTAMPTZ(3),

    CONSTRAINT "run_pkey" PRIMARY KEY ("id")
);

-- CreateTable
CREATE TABLE "task" (
    "run_id" TEXT NOT NULL,
    "action_id" TEXT NOT NULL,
    "action_type" TEXT NOT NULL,
    "epoch" INTEGER NOT NULL,
    "attempt" INTEGER NOT NULL DEFAULT 0,
    "ended_attempt" INTEGER NOT NULL DEFAULT 0,
    "fence" INTEGER NOT NULL DEFAULT 1,
    "deliveries" INTEGER NOT NULL DEFAULT 1,
    "next_delivery" INTEGER,
    "status" TEXT NOT NULL,
    "final" BOOLEAN NOT NULL DEFAULT false,
    "tolerated" BOOLEAN NOT NULL DEFAULT false,
    "input" JSONB,
    "output" JSONB,
    "error" JSONB,
    "commit_id" UUID,
    "worker" TEXT,
    "wake_at" TIMESTAMPTZ(3),
    "started_at" TIMESTAMPTZ(3),
    "finished_at" TIMESTAMPTZ(3),
    "updated_at" TIMESTAMPTZ(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,

    CONSTRAINT "task_pkey" PRIMARY KEY ("run_id","action_id")
);

-- CreateTable
CREATE TABLE "attempt" (
    "run_id" TEXT NOT NULL,
    "action_id" TEXT NOT NULL,
    "epoch" INTEGER NOT NULL,
    "attempt" INTEGER NOT NULL,
    "status" TEXT NOT NULL,
    "error" JSONB,
    "worker" TEXT,
    "started_at" TIMESTAMPTZ(3) NOT NULL,
    "finished_at" TIMESTAMPTZ(3) NOT NULL,

    CONSTRAINT "attempt_pkey" PRIMARY KEY ("run_id","action_id","epoch","attempt")
);

-- CreateTable
CREATE TABLE "event" (
    "id" BIGSERIAL NOT NULL,
    "run_id" TEXT NOT NULL,
    "action_id" TEXT,
    "epoch" INTEGER NOT NULL,
    "attempt" INTEGER,
    "kind" TEXT NOT NULL,
    "data" JSONB,
    "at" TIMESTAMPTZ(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,

    CONSTRAINT "event_pkey" PRIMARY KEY ("id")
);

-- CreateTable
CREATE TABLE "late_effect" (
    "id" BIGSERIAL NOT NULL,
    "run_id" TEXT NOT NULL,
    "action_id" TEXT NOT NULL,
    "epoch" INTEGER NOT NULL,
    "attempt" INTEGER NOT NULL,
    "output" JSONB,
    "worker" TEXT,
    "at" TIMESTAMPTZ(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,

    CONSTRAINT "late_effect_pkey" PRIMARY KEY ("id")
);

-- CreateTable
CREATE TABLE "service" (
    "tenant_id" TEXT NOT NULL,
    "name" TEXT NOT NULL,
    "base_url" TEXT NOT NULL,
    "metadata" JSONB,
    "created_at" TIMESTAMPTZ(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,
    "updated_at" TIMESTAMPTZ(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,

    CONSTRAINT "service_pkey" PRIMARY KEY ("tenant_id","name")
);

-- CreateIndex
CREATE INDEX "workflow_tenant_id_created_at_id_idx" ON "workflow"("tenant_id", "created_at" DESC, "id" DESC);

-- CreateIndex
CREATE INDEX "workflow_tenant_id_name_idx" ON "workflow"("tenant_id", "name");

-- CreateIndex
CREATE INDEX "run_tenant_id_created_at_id_idx" ON "run"("tenant_id", "created_at" DESC, "id" DESC);

-- CreateIndex
CREATE INDEX "run_tenant_id_workflow_id_created_at_id_idx" ON "run"("tenant_id", "workflow_id", "created_at" DESC, "id" DESC);

-- CreateIndex
CREATE INDEX "run_tenant_id_correlation_id_idx" ON "run"("tenant_id", "correlation_id");

-- CreateIndex
CREATE INDEX "run_open_check_at" ON "run"("check_at") WHERE (NOT final);

-- CreateIndex
CREATE INDEX "run_pending" ON "run"("status", "due_at", "created_at") WHERE (status = 'pending');

-- CreateIndex
CREATE INDEX "run_callback_due" ON "run"("callback_due_at") WHERE (callback_due_at IS NOT NULL);

-- CreateIndex
CREATE INDEX "run_cancelling" ON "run"("status") WHERE (status = 'cancelling');

-- CreateIndex
CREATE UNIQUE INDEX "run_tenant_id_idempotency_key_key" ON "run"("tenant_id", "idempotency_key");

-- CreateIndex
CREATE INDEX "event_run_id_id_idx" ON "event"("run_id", "id");

-- CreateIndex
CREATE INDEX "late_effect_run_id_idx" ON "late_effect"("run_id");

-- AddForeignKey
ALTER TABLE "workflow_version" ADD CONSTRAINT "workflow_version_workflow_id_fkey" FOREIGN KEY ("workflow_id") REFERENCES "workflow"("id") ON DELETE RESTRICT ON UPDATE CASCADE;

-- AddForeignKey
ALTER TABLE "task" ADD CONSTRAINT "task_run_id_fkey" FOREIGN KEY ("run_id") REFERENCES "run"("id") ON DELETE CASCADE ON UPDATE CASCADE;
