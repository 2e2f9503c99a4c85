-- CreateTable
CREATE TABLE "task_log" (
    "run_id" TEXT NOT NULL,
    "id" BIGSERIAL NOT NULL,
    "action_id" TEXT NOT NULL,
    "epoch" INTEGER NOT NULL,
    "attempt" INTEGER NOT NULL,
    "level" TEXT NOT NULL,
    "message" TEXT NOT NULL,
    "fields" JSONB,
    "at" TIMESTAMPTZ(3) NOT NULL,

    CONSTRAINT "task_log_pkey" PRIMARY KEY ("run_id","id")
);

-- CreateTable
CREATE TABLE "run_log" (
    "run_id" TEXT NOT NULL,
    "lines" INTEGER NOT NULL,
    "bytes" INTEGER NOT NULL,
    "dropped" INTEGER NOT NULL DEFAULT 0,

    CONSTRAINT "run_log_pkey" PRIMARY KEY ("run_id")
);

-- CreateTable
CREATE TABLE "task_failure" (
    "run_id" TEXT NOT NULL,
    "action_id" TEXT NOT NULL,
    "epoch" INTEGER NOT NULL,
    "attempt" INTEGER NOT NULL,
    "tenant_id" TEXT NOT NULL,
    "workflow_id" TEXT,
    "action_type" TEXT NOT NULL,
    "final" BOOLEAN NOT NULL,
    "error" JSONB,
    "fingerprint" TEXT,
    "at" TIMESTAMPTZ(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,

    CONSTRAINT "task_failure_pkey" PRIMARY KEY ("run_id","action_id","epoch","attempt")
);

-- CreateTable
CREATE TABLE "error_group" (
    "tenant_id" TEXT NOT NULL,
    "fingerprint" TEXT NOT NULL,
    "action_type" TEXT NOT NULL,
    "workflow_id" TEXT,
    "action_id" TEXT NOT NULL,
    "code" TEXT NOT NULL,
    "template" TEXT NOT NULL,
    "message" TEXT NOT NULL,
    "run_id" TEXT,
    "failed_attempts" BIGINT NOT NULL,
    "failed_tasks" BIGINT NOT NULL,
    "runs" BIGINT NOT NULL,
    "first_seen" TIMESTAMPTZ(3) NOT NULL,
    "last_seen" TIMESTAMPTZ(3) NOT NULL,
    "state" TEXT NOT NULL DEFAULT 'open',
    "state_by" TEXT,
    "state_at" TIMESTAMPTZ(3),
    "regressions" INTEGER NOT NULL DEFAULT 0,

    CONSTRAINT "error_group_pkey" PRIMARY KEY ("tenant_id","fingerprint")
);

-- CreateIndex
CREATE INDEX "task_failure_tenant_id_fingerprint_at_idx" ON "task_failure"("tenant_id", "fingerprint", "at" DESC);

-- CreateIndex
CREATE INDEX "task_failure_uncounted" ON "task_failure"("at") WHERE (fingerprint IS NULL);
