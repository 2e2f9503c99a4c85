-- AlterTable
ALTER TABLE "service" ADD COLUMN     "endpoints" JSONB,
ADD COLUMN     "openapi_url" TEXT,
ADD COLUMN     "origin" TEXT,
ADD COLUMN     "settings" JSONB,
ADD COLUMN     "version" BIGINT NOT NULL DEFAULT 0;

-- CreateTable
CREATE TABLE "service_instance" (
    "tenant_id" TEXT NOT NULL,
    "name" TEXT NOT NULL,
    "instance_id" TEXT NOT NULL,
    "base_url" TEXT NOT NULL,
    "weight" INTEGER NOT NULL DEFAULT 1,
    "ttl_seconds" INTEGER,
    "heartbeat_at" TIMESTAMPTZ(3),
    "expires_at" TIMESTAMPTZ(3),
    "health" TEXT NOT NULL DEFAULT 'unknown',
    "passed" INTEGER NOT NULL DEFAULT 0,
    "failed" INTEGER NOT NULL DEFAULT 0,
    "check_at" TIMESTAMPTZ(3),
    "checked_at" TIMESTAMPTZ(3),
    "latency_ms" DOUBLE PRECISION,
    "last_error" TEXT,

    CONSTRAINT "service_instance_pkey" PRIMARY KEY ("tenant_id","name","instance_id")
);

-- CreateTable
CREATE TABLE "service_tombstone" (
    "tenant_id" TEXT NOT NULL,
    "name" TEXT NOT NULL,
    "version" BIGINT NOT NULL,
    "origin" TEXT,
    "deleted_at" TIMESTAMPTZ(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,

    CONSTRAINT "service_tombstone_pkey" PRIMARY KEY ("tenant_id","name")
);

-- CreateIndex
CREATE INDEX "service_instance_check_at_idx" ON "service_instance"("check_at");

-- CreateIndex
CREATE INDEX "service_instance_expires_at_idx" ON "service_instance"("expires_at");

-- CreateIndex
CREATE INDEX "service_tombstone_deleted_at_idx" ON "service_tombstone"("deleted_at");

-- AddForeignKey
ALTER TABLE "service_instance" ADD CONSTRAINT "service_instance_tenant_id_name_fkey" FOREIGN KEY ("tenant_id", "name") REFERENCES "service"("tenant_id", "name") ON DELETE CASCADE ON UPDATE CASCADE;
