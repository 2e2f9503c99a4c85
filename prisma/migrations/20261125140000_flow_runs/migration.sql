-- AlterTable
ALTER TABLE "run" ADD COLUMN "execution_context" JSONB;

-- CreateTable
CREATE TABLE "flow_run" (
    "id" BIGSERIAL NOT NULL,
    "run_id" VARCHAR(255) NOT NULL,
    "tenant_id" VARCHAR(255) NOT NULL,
    "flow_id" VARCHAR(255) NOT NULL,
    "digest" TEXT NOT NULL,
    "received_at" TIMESTAMPTZ(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,

    CONSTRAINT "flow_run_pkey" PRIMARY KEY ("run_id","tenant_id")
);

-- CreateIndex
CREATE UNIQUE INDEX "flow_run_id_key" ON "flow_run"("id");

-- CreateIndex
CREATE INDEX "flow_run_tenant_id_id_idx" ON "flow_run"("tenant_id", "id");
