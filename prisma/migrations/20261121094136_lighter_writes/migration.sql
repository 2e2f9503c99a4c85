-- DropForeignKey
ALTER TABLE "task" DROP CONSTRAINT "task_run_id_fkey";

-- DropIndex
DROP INDEX "run_tenant_id_correlation_id_idx";

-- CreateIndex
CREATE INDEX "run_tenant_id_correlation_id_idx" ON "run"("tenant_id", "correlation_id") WHERE (correlation_id IS NOT NULL);
