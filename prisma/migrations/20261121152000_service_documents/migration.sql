-- CreateTable
CREATE TABLE "service_document" (
    "tenant_id" TEXT NOT NULL,
    "service" TEXT NOT NULL,
    "url" TEXT NOT NULL,
    "hash" TEXT NOT NULL,
    "document" JSONB NOT NULL,
    "operations" JSONB NOT NULL,
    "title" TEXT,
    "version" TEXT,
    "fetched_at" TIMESTAMPTZ(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,
    "changed_at" TIMESTAMPTZ(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,

    CONSTRAINT "service_document_pkey" PRIMARY KEY ("tenant_id","service")
);

-- CreateTable
CREATE TABLE "service_drift" (
    "id" BIGSERIAL NOT NULL,
    "tenant_id" TEXT NOT NULL,
    "service" TEXT NOT NULL,
    "cause" TEXT NOT NULL,
    "from_hash" TEXT,
    "hash" TEXT NOT NULL,
    "added" JSONB NOT NULL,
    "removed" JSONB NOT NULL,
    "changed" JSONB NOT NULL,
    "breaking" BOOLEAN NOT NULL,
    "operations" INTEGER NOT NULL,
    "at" TIMESTAMPTZ(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,

    CONSTRAINT "service_drift_pkey" PRIMARY KEY ("id")
);

-- CreateIndex
CREATE INDEX "service_drift_tenant_id_service_id_idx" ON "service_drift"("tenant_id", "service", "id" DESC);

-- CreateIndex
CREATE UNIQUE INDEX "service_drift_tenant_id_service_cause_key" ON "service_drift"("tenant_id", "service", "cause");
