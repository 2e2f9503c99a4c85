-- AlterTable
ALTER TABLE "run" ADD COLUMN     "parent_span_id" TEXT,
ADD COLUMN     "saga" BOOLEAN;

-- CreateTable
CREATE TABLE "call_span" (
    "tenant_id" TEXT NOT NULL,
    "trace_id" TEXT NOT NULL,
    "span_id" TEXT NOT NULL,
    "parent_id" TEXT NOT NULL,
    "kind" TEXT NOT NULL,
    "run_id" TEXT NOT NULL,
    "action_id" TEXT,
    "epoch" INTEGER,
    "attempt" INTEGER,
    "service" TEXT NOT NULL,
    "method" TEXT NOT NULL,
    "host" TEXT NOT NULL,
    "status" INTEGER,
    "error" TEXT,
    "started_at" TIMESTAMPTZ(3) NOT NULL,
    "finished_at" TIMESTAMPTZ(3) NOT NULL,
    "expires_at" TIMESTAMPTZ(3) NOT NULL,

    CONSTRAINT "call_span_pkey" PRIMARY KEY ("tenant_id","trace_id","span_id")
);

-- CreateIndex
CREATE INDEX "call_span_tenant_id_service_started_at_idx" ON "call_span"("tenant_id", "service", "started_at" DESC);

-- CreateIndex
CREATE INDEX "call_span_expires_at_idx" ON "call_span"("expires_at");

-- CreateIndex
CREATE INDEX "run_tenant_id_trace_id_idx" ON "run"("tenant_id", "trace_id");

-- CreateIndex
CREATE INDEX "run_saga" ON "run"("tenant_id", "created_at" DESC, "id" DESC) WHERE (saga);
