-- DropIndex
DROP INDEX "run_open_check_at";

-- CreateTable
CREATE TABLE "worker" (
    "id" TEXT NOT NULL,
    "lanes" TEXT[],
    "version" TEXT NOT NULL,
    "active_tasks" INTEGER NOT NULL,
    "loop_lag_ms" DOUBLE PRECISION NOT NULL,
    "started_at" TIMESTAMPTZ(3) NOT NULL,
    "seen_at" TIMESTAMPTZ(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,

    CONSTRAINT "worker_pkey" PRIMARY KEY ("id")
);

-- CreateTable
CREATE TABLE "sweep_pass" (
    "id" INTEGER NOT NULL,
    "worker" TEXT NOT NULL,
    "at" TIMESTAMPTZ(3) NOT NULL,
    "duration_ms" DOUBLE PRECISION NOT NULL,
    "lag_ms" DOUBLE PRECISION NOT NULL,
    "dispatched" INTEGER NOT NULL,
    "checked" INTEGER NOT NULL,
    "repaired" INTEGER NOT NULL,
    "dispatched_total" BIGINT NOT NULL DEFAULT 0,
    "repaired_total" BIGINT NOT NULL DEFAULT 0,
    "last_repair_at" TIMESTAMPTZ(3),

    CONSTRAINT "sweep_pass_pkey" PRIMARY KEY ("id")
);

-- CreateIndex
CREATE INDEX "run_live_check_at" ON "run"("check_at") WHERE (NOT final AND status = ANY (ARRAY['queued'::text, 'running'::text, 'cancelling'::text]));
