-- CreateTable
CREATE TABLE "flow_outbox" (
    "id" BIGSERIAL NOT NULL,
    "tenant_id" VARCHAR(255) NOT NULL,
    "run_id" VARCHAR(255),
    "topic" VARCHAR(249) NOT NULL,
    "key" TEXT NOT NULL,
    "value" TEXT NOT NULL,
    "headers" JSONB NOT NULL,
    "created_at" TIMESTAMPTZ(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,

    CONSTRAINT "flow_outbox_pkey" PRIMARY KEY ("id")
);

-- CreateIndex
CREATE INDEX "flow_outbox_tenant_id_idx" ON "flow_outbox"("tenant_id");
