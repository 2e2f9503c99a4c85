-- CreateTable
CREATE TABLE "run_dedupe" (
    "tenant_id" TEXT NOT NULL,
    "workflow_id" TEXT NOT NULL,
    "key" TEXT NOT NULL,
    "run_id" TEXT NOT NULL,
    "expires_at" TIMESTAMPTZ(3) NOT NULL,

    CONSTRAINT "run_dedupe_pkey" PRIMARY KEY ("tenant_id","workflow_id","key")
);

-- CreateIndex
CREATE INDEX "run_dedupe_run_id_idx" ON "run_dedupe"("run_id");

-- CreateIndex
CREATE INDEX "run_dedupe_expires_at_idx" ON "run_dedupe"("expires_at");
