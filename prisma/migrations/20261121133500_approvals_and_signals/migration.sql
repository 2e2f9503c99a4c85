-- CreateTable
CREATE TABLE "approval" (
    "run_id" TEXT NOT NULL,
    "epoch" INTEGER NOT NULL,
    "action_id" TEXT NOT NULL,
    "tenant_id" TEXT NOT NULL,
    "message" TEXT,
    "approvers" TEXT[],
    "on_timeout" TEXT NOT NULL,
    "escalate_to" TEXT[],
    "period_seconds" DOUBLE PRECISION,
    "requested_at" TIMESTAMPTZ(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,
    "deadline_at" TIMESTAMPTZ(3),
    "escalated_at" TIMESTAMPTZ(3),
    "open" BOOLEAN NOT NULL DEFAULT true,

    CONSTRAINT "approval_pkey" PRIMARY KEY ("run_id","epoch","action_id")
);

-- CreateTable
CREATE TABLE "approval_decision" (
    "run_id" TEXT NOT NULL,
    "epoch" INTEGER NOT NULL,
    "action_id" TEXT NOT NULL,
    "decision" TEXT NOT NULL,
    "decided_by" TEXT,
    "comment" TEXT,
    "via" TEXT NOT NULL,
    "request_key" TEXT,
    "at" TIMESTAMPTZ(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,

    CONSTRAINT "approval_decision_pkey" PRIMARY KEY ("run_id","epoch","action_id")
);

-- CreateTable
CREATE TABLE "signal_message" (
    "id" BIGSERIAL NOT NULL,
    "run_id" TEXT NOT NULL,
    "name" TEXT NOT NULL,
    "payload" JSONB NOT NULL,
    "sent_by" TEXT NOT NULL,
    "request_key" TEXT,
    "request_hash" TEXT,
    "at" TIMESTAMPTZ(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,

    CONSTRAINT "signal_message_pkey" PRIMARY KEY ("id")
);

-- CreateTable
CREATE TABLE "signal_wait" (
    "run_id" TEXT NOT NULL,
    "action_id" TEXT NOT NULL,
    "epoch" INTEGER NOT NULL,
    "name" TEXT NOT NULL,
    "seq" BIGSERIAL NOT NULL,
    "opened_at" TIMESTAMPTZ(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,
    "deadline_at" TIMESTAMPTZ(3),
    "timed_out_at" TIMESTAMPTZ(3),
    "message_id" BIGINT,

    CONSTRAINT "signal_wait_pkey" PRIMARY KEY ("run_id","action_id")
);

-- CreateIndex
CREATE INDEX "approval_tenant_id_open_requested_at_idx" ON "approval"("tenant_id", "open", "requested_at" DESC);

-- CreateIndex
CREATE INDEX "signal_message_run_id_name_id_idx" ON "signal_message"("run_id", "name", "id");

-- CreateIndex
CREATE UNIQUE INDEX "signal_message_run_id_name_request_key_key" ON "signal_message"("run_id", "name", "request_key");

-- CreateIndex
CREATE UNIQUE INDEX "signal_wait_message_id_key" ON "signal_wait"("message_id");

-- CreateIndex
CREATE INDEX "signal_wait_run_id_name_seq_idx" ON "signal_wait"("run_id", "name", "seq");
