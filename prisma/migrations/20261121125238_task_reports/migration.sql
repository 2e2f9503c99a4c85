-- CreateTable
CREATE TABLE "task_report" (
    "run_id" TEXT NOT NULL,
    "action_id" TEXT NOT NULL,
    "epoch" INTEGER NOT NULL,
    "attempt" INTEGER NOT NULL,
    "fence" INTEGER NOT NULL,
    "execution" UUID NOT NULL,
    "percent" DOUBLE PRECISION,
    "message" TEXT,
    "chunks" INTEGER NOT NULL DEFAULT 0,
    "truncated" BOOLEAN NOT NULL DEFAULT false,
    "has_chunks" BOOLEAN NOT NULL DEFAULT false,
    "version" INTEGER NOT NULL DEFAULT 1,
    "at" TIMESTAMPTZ(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,

    CONSTRAINT "task_report_pkey" PRIMARY KEY ("run_id","action_id")
);

-- CreateTable
CREATE TABLE "task_chunk" (
    "run_id" TEXT NOT NULL,
    "action_id" TEXT NOT NULL,
    "execution" UUID NOT NULL,
    "n" INTEGER NOT NULL,
    "chunk" JSONB NOT NULL,

    CONSTRAINT "task_chunk_pkey" PRIMARY KEY ("run_id","action_id","execution","n")
);

-- CreateIndex
CREATE INDEX "task_report_has_chunks" ON "task_report"("run_id", "action_id") WHERE (has_chunks);
